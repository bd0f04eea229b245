"""Earthquakes as notices: by intensity, growing, over, taken back; as webhook, CAP and in the feed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.notifications import cap, queue, service
from fleet.notifications.delivery import Errand, write_webhook
from fleet.notifications.rules import Contact, Rule, Rules
from fleet.notifications.service import Outgoing
from fleet.quakes.models import StationQuake
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.notifications.test_cap import SCHEMA
from tests.fleet.quakes.scene import BRIDGE, NS, TOWER, Quakes, report
from wire.alarm import AlarmRequest

BUREAU = Contact(name="bureau", kind="cap", url="http://host/", sender="fengsui@yufu.example")
ROOM = Contact(name="room", kind="webhook", url="http://host/", pause_s=0)
RULES = Rules(contacts=(BUREAU, ROOM), rules=(Rule(contacts=("bureau", "room"), intensity_from=5.0),))
SIGN_IN = ("王", "long enough")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Told(Quakes):
    """What contacts are sent."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.turn()

    def turn(self) -> None:
        now_ns = self.services.clock()
        with self.services.database.writing() as session:
            queue.carry_out(session, queue.plan(session, RULES, now_ns), now_ns)

    def take(self, contact: Contact) -> Outgoing | None:
        """The contact's next message, which it takes."""
        now_ns = self.services.clock()
        with self.services.database.writing() as session:
            if service.is_due(session, contact, now_ns):
                service.make_message(session, contact, now_ns)
                session.flush()
            outgoing = service.find_outgoing(session, contact, now_ns)
            if outgoing is not None:
                service.note_sent(session, outgoing.message_id, now_ns)
            return outgoing

    def alert(self) -> dict[str, Any] | None:
        self.turn()
        outgoing = self.take(BUREAU)
        if outgoing is None:
            return None
        text = cap.write_alert(BUREAU, outgoing.message, outgoing.earlier).decode()
        SCHEMA.validate(text)
        return dict(SCHEMA.to_dict(text))


@pytest.fixture
def told(services: Services) -> Told:
    return Told(services)


def parameters(alert: dict[str, Any]) -> dict[str, str]:
    return {one["valueName"]: one["value"] for one in alert["info"][0]["parameter"]}


def test_an_earthquake_is_an_alert_then_an_update_with_each_class_and_a_cancel_in_the_end(
    told: Told, clock: Clock
) -> None:
    told.say(TOWER, report(intensity_gb=4.1, grade=4))
    assert told.alert() is None, "weaker than the rule asks for"
    clock.advance(1)
    told.say(TOWER, report(after_s=1, state="grown", intensity_gb=5.4, grade=5))
    first = told.alert()
    assert first is not None
    assert (first["msgType"], first["info"][0]["category"], first["info"][0]["severity"]) == (
        "Alert",
        ["Geo"],
        "Severe",
    )
    assert first["info"][0]["headline"] == "江北嘴大厦 地震 仪器烈度 5.4 度（1 个台站）"
    assert first["info"][0]["area"][0]["circle"] == ["29.570000,106.570000 0"]
    assert first["info"][0]["onset"] == "2026-09-21T22:13:20+08:00"
    clock.advance(1)
    told.say(BRIDGE, report("XX.BRDGE", 5.0, 1, state="grown", intensity_gb=5.45, grade=5))
    assert told.alert() is None, "no higher class"
    clock.advance(1)
    told.say(TOWER, report(after_s=3, state="grown", intensity_gb=7.2, grade=7))
    second = told.alert()
    assert second is not None
    assert (second["msgType"], second["info"][0]["severity"]) == ("Update", "Extreme")
    assert first["identifier"] in second["references"]
    found = parameters(second)
    assert (found["intensity"], found["stations"], found["colour"]) == ("7.2", "2", "red")
    clock.advance(60)
    told.say(TOWER, report(after_s=60, state="closed", intensity_gb=7.2, grade=7))
    told.say(BRIDGE, report("XX.BRDGE", 5.0, 60, state="closed", intensity_gb=5.45, grade=5))
    assert told.alert() is None, "over, but nobody has acknowledged"
    with told.services.database.writing() as session:
        row = session.get_one(Alarm, ("", "fleet:earthquake:1"))
        own.operate(session, row, "acknowledge", AlarmRequest(alarm=row.name), "王", clock())
    last = told.alert()
    assert last is not None
    assert last["msgType"] == "Cancel"
    assert second["identifier"] in last["references"]


def test_one_that_is_taken_back_is_cancelled_at_once(told: Told, clock: Clock) -> None:
    told.say(TOWER, report())
    first = told.alert()
    clock.advance(2)
    told.say(TOWER, report(after_s=2, state="rejected", reason="a slammed door"))
    cancel = told.alert()
    assert first is not None
    assert cancel is not None
    assert cancel["msgType"] == "Cancel"
    assert first["identifier"] in cancel["references"]


def test_who_was_called_for_a_strength_that_it_does_not_have_is_told_so(told: Told, clock: Clock) -> None:
    told.say(TOWER, report(intensity_gb=8.0, grade=8))
    told.say(BRIDGE, report("XX.BRDGE", 5.0, intensity_gb=4.0, grade=4))
    first = told.alert()
    clock.advance(2)
    told.say(TOWER, report(after_s=2, state="rejected", intensity_gb=8.0, grade=8))
    cancel = told.alert()
    assert first is not None
    assert cancel is not None
    assert cancel["msgType"] == "Cancel"
    assert first["identifier"] in cancel["references"]
    assert told.alert() is None, "once"
    clock.advance(2)
    told.say(BRIDGE, report("XX.BRDGE", 5.0, 4, state="grown", intensity_gb=6.0, grade=6))
    again = told.alert()
    assert again is not None
    assert again["msgType"] == "Alert"


def test_one_that_is_part_of_another_is_cancelled(told: Told, clock: Clock) -> None:
    told.add("gw-far-0001", "XX.FAR", "无位置", None)
    told.say(TOWER, report(intensity_gb=4.0, grade=4))
    told.say("gw-far-0001", report("XX.FAR", 36.0))
    first = told.alert()
    with told.services.database.writing() as session:
        row = session.get_one(StationQuake, ("gw-far-0001", "XX.FAR", START_NS + 36 * NS))
        row.lat, row.lon = 30.2, 106.57
    clock.advance(2)
    told.say(BRIDGE, report("XX.BRDGE", 5.0))
    alerts = [told.alert(), told.alert()]
    assert first is not None
    cancelled = [one for one in alerts if one is not None and one["msgType"] == "Cancel"]
    assert [first["identifier"] in one["references"] for one in cancelled] == [True]


def test_a_webhook_has_figures_and_words_in_both_languages(told: Told) -> None:
    told.say(TOWER, report(intensity_gb=7.2, grade=7))
    told.turn()
    outgoing = told.take(ROOM)
    assert outgoing is not None
    for language, words in (("zh", "地震 仪器烈度 7.2 度"), ("en", "earthquake, instrumental intensity 7.2")):
        contact = msgspec.structs.replace(ROOM, language=language)
        body = msgspec.json.decode(write_webhook(Errand(RULES, contact, outgoing.message, 0)))
        assert words in body["subject"]
        alarm = body["notices"][0]["alarm"]
        assert (alarm["intensity"], alarm["stations"], alarm["lat"], alarm["sector"]) == (7.2, 1, 29.57, "earthquake")


def test_other_alarms_pass_no_rule_by_intensity(told: Told, clock: Clock) -> None:
    with told.services.database.writing() as session:
        own.raise_alarm(session, own.FLEET, own.BEHIND, "700 s", clock(), "district")
    assert told.alert() is None


def test_the_feed_tells_what_was_told_then(told: Told, clock: Clock) -> None:
    with told.services.database.writing() as session:
        accounts.add(session, *SIGN_IN, Role.AUDITOR, clock())
    client: FlaskClient = create_app(told.services).test_client()
    told.say(TOWER, report())
    number = next(
        number for number in range(1, 9) if client.get(f"/api/cap/alerts/{number}", auth=SIGN_IN).status_code == 200
    )
    first = client.get(f"/api/cap/alerts/{number}", auth=SIGN_IN).text
    SCHEMA.validate(first)
    clock.advance(1)
    told.say(BRIDGE, report("XX.BRDGE", 5.0, 1, state="grown", intensity_gb=8.1, grade=8))
    assert client.get(f"/api/cap/alerts/{number}", auth=SIGN_IN).text == first
    index = client.get("/api/cap/feed", auth=SIGN_IN).text
    assert "地震 仪器烈度 8.1 度（2 个台站）" in index
