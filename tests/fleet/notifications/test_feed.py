"""The feed of alerts over HTTP, each alert against the schema of the standard."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.alarms import own
from fleet.app import create_app
from fleet.bootstrap import Services
from tests.fleet import edge
from tests.fleet.conftest import Clock, both_databases
from tests.fleet.notifications.test_cap import SCHEMA
from tests.fleet.scene import Scene
from wire.alarm import Standing
from wire.record import AlarmRecord, Lane, StandingRecord

ATOM = "{http://www.w3.org/2005/Atom}"
ON, ACKED, RETURNED = 3, 1, 2
SIGN_IN = ("王", "long enough")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Feed(Scene):
    """A gateway's alarm, and a reader of the feed."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        with services.database.writing() as session:
            accounts.add(session, *SIGN_IN, Role.AUDITOR, services.clock())
        self.client: FlaskClient = create_app(services).test_client()
        self.seq = 0

    def say(self, change: str, standing: int, name: str = "tank.level:high") -> None:
        tag, _, level = name.partition(":")
        common: Any = {"alarm": name, "tag": tag, "level": level, "change": change, "priority": 2}
        self.seq += 1
        record: Any = (
            AlarmRecord(self.seq, None, value=92.5, limit=90.0, standing=standing, occurrence=1, **common)
            if change in {"raised", "cleared"}
            else StandingRecord(self.seq, None, standing=standing, occurrence=1, by="李", where="page", **common)
        )
        self.send(self.seq, record, lane=Lane.ALARMS)

    def links(self, query: str = "") -> list[str]:
        answer = self.client.get(f"/api/cap/feed{query}", auth=SIGN_IN)
        assert (answer.status_code, answer.mimetype) == (200, "application/atom+xml")
        entries = Xml.fromstring(answer.data).findall(f"{ATOM}entry")
        return [str(entry.find(f"{ATOM}link").attrib["href"]) for entry in entries]  # type: ignore[union-attr]

    def alert(self, link: str) -> Any:
        answer = self.client.get(link, auth=SIGN_IN)
        assert (answer.status_code, answer.mimetype) == (200, "application/cap+xml")
        SCHEMA.validate(answer.data.decode())
        return SCHEMA.to_dict(answer.data.decode())


@pytest.fixture
def feed(services: Services) -> Feed:
    return Feed(services)


def test_an_alarm_is_an_alert_then_an_update_then_a_cancel_that_refers_to_both(feed: Feed, clock: Clock) -> None:
    feed.say("raised", ON)
    (first,) = feed.links()
    alert = feed.alert(first)
    assert (alert["msgType"], alert["status"], alert["info"][0]["severity"]) == ("Alert", "Actual", "Severe")
    clock.advance(60)
    feed.say("acknowledged", ACKED)
    (second,) = feed.links()
    update = feed.alert(second)
    assert update["msgType"] == "Update"
    assert update["references"] == f"fengsui,{alert['identifier']},{alert['sent']}"
    clock.advance(60)
    feed.say("cleared", 0)
    (third,) = feed.links()
    cancel = feed.alert(third)
    assert (cancel["msgType"], cancel["info"][0]["urgency"]) == ("Cancel", "Past")
    assert [each.split(",")[1] for each in cancel["references"].split()] == [alert["identifier"], update["identifier"]]
    assert feed.alert(first) == alert, "what was said does not change"
    clock.advance(86_401)
    assert feed.links() == []


def test_a_raise_after_the_end_refers_to_nothing(feed: Feed) -> None:
    for change, standing in (("raised", ON), ("acknowledged", ACKED), ("cleared", 0), ("raised", ON)):
        feed.say(change, standing)
    (link,) = feed.links()
    found = feed.alert(link)
    assert (found["msgType"], "references" in found) == ("Alert", False)


def test_one_that_returned_unacknowledged_goes_on(feed: Feed) -> None:
    feed.say("raised", ON)
    feed.say("cleared", RETURNED)
    assert feed.alert(feed.links()[0])["msgType"] == "Update"


def test_one_that_is_shelved_is_cancelled_and_says_nothing_until_it_is_back(feed: Feed) -> None:
    shelved = int(Standing.SHELVED)
    feed.say("raised", ON)
    feed.say("shelved", ON | shelved)
    (cancel,) = feed.links()
    assert feed.alert(cancel)["msgType"] == "Cancel"
    feed.say("acknowledged", ACKED | shelved)
    assert feed.links() == [cancel]
    feed.say("unshelved", ACKED)
    assert feed.alert(feed.links()[0])["msgType"] == "Alert"


def test_an_alarm_of_no_gateway_is_an_alert_and_not_in_the_feed_of_a_gateway(feed: Feed, clock: Clock) -> None:
    with feed.services.database.writing() as session:
        own.raise_alarm(session, own.FLEET, own.BEHIND, "700 s", clock(), "district")
    found = feed.alert(feed.links()[0])
    assert "district" in found["info"][0]["headline"]
    assert feed.links(f"?gateway={edge.GATEWAY}") == []


@pytest.mark.parametrize("number", ["1", "2", "99", str(2**70)])
def test_a_line_that_says_nothing_is_no_alert(feed: Feed, number: str) -> None:
    feed.say("shelved", int(Standing.SHELVED))
    assert feed.client.get(f"/api/cap/alerts/{number}", auth=SIGN_IN).status_code == 404


def test_a_stranger_reads_nothing(feed: Feed) -> None:
    feed.say("raised", ON)
    for path in ("/api/cap/feed", "/api/cap/alerts/1"):
        assert feed.client.get(path).status_code == 401


def test_a_long_history_refers_to_the_newest_of_it(feed: Feed) -> None:
    for _ in range(205):
        feed.say("reminded", ON)
    found = feed.alert(feed.links()[0])
    assert len(found["references"].split()) == 199
