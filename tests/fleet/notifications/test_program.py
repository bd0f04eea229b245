"""From an alarm's row to a server that takes the message: real servers, a real database, a scripted clock."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from fleet.alarms import operations, own
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.bootstrap import Services
from fleet.commands.keys import found_key, load_key
from fleet.gateways import service as gateways
from fleet.notifications import queue, service
from fleet.notifications.models import MessageRow, NoticeRow, Watch
from fleet.notifications.program import Notify
from fleet.notifications.rules import Contact
from fleet.sites import service as sites
from tests.fleet import edge
from tests.fleet.conftest import Clock, both_databases
from tests.fleet.notifications.receivers import Mailbox, Receiver, http_receiver, mail_receiver
from tests.fleet.notifications.test_cap import SCHEMA
from tests.fleet.scene import Scene
from tests.servers import free_port
from wire.alarm import AlarmRequest, Standing
from wire.record import AlarmRecord, Lane, StandingRecord
from wire.topics import Up

GATEWAY = "gw-yufu-0001"
TANK = "tank.level:high-high"
ACTIVE = int(Standing.ACTIVE)
UP = int(Standing.ACTIVE | Standing.UNACKNOWLEDGED)
TLS = ssl.create_default_context()
"""Made once: a client of its own reads all authorities of the world, and there is one for every turn."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as found:
        yield found


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_receiver() as found:
        yield found


class Fleet:
    """A fleet with one gateway, its rules, and a program that takes one turn at a time."""

    def __init__(self, services: Services, clock: Clock, *, registers: bool = True) -> None:
        self.clock = clock
        settings = msgspec.structs.replace(services.settings, notify_rules="notify.toml")
        self.services = Services(settings, services.database, services.clock, services.live)
        if not registers:
            return
        with services.database.writing() as session:
            sites.add(session, "yufu-chem", "鱼复化工", "chemical", 29.6, 106.7)
            gateways.register(session, GATEWAY, "", "yufu-chem", clock())

    def tell(self, rules: str) -> None:
        (self.services.settings.data_dir / "notify.toml").write_text(rules)
        self.start()

    def start(self) -> None:
        """Start the program, as if it had died before."""
        self.program = Notify(self.services)
        self.turn()

    def set(self, standing: int, name: str = "tank.level:high-high", occurrence: int = 1, priority: int = 1) -> None:
        """Let an alarm stand in some way; a new occurrence is raised in the journal."""
        tag, level = name.split(":")
        with self.services.database.writing() as session:
            alarm = session.get(Alarm, (GATEWAY, name)) or Alarm(
                gateway=GATEWAY, name=name, tag=tag, level=level, record_id=1, value=92.5, limit=90.0, occurrence=0
            )
            if alarm.occurrence != occurrence:
                alarm.raised_ns = self.clock()
                session.add(
                    AlarmEvent(gateway=GATEWAY, kind="raised", received_ns=self.clock(), record_id=1, alarm=name)
                )
            alarm.active, alarm.standing = bool(standing & Standing.ACTIVE), standing
            alarm.occurrence, alarm.priority = occurrence, priority
            session.add(alarm)

    def turn(self, seconds: float = 0) -> None:
        """Let time go by, decide, and send what there is."""
        self.clock.advance(seconds)

        async def work() -> None:
            async with httpx.AsyncClient(trust_env=False, verify=TLS) as client:
                await self.program.load_rules()
                await self.program.decide()
                contacts = self.program._rules.contacts if self.program._rules else ()
                for contact in contacts:
                    while await self.program.send(client, contact):
                        pass

        asyncio.run(work())

    def rows(self, query: Any) -> list[Any]:
        with self.services.database.reading() as session:
            return list(session.execute(query).all())

    def steps(self) -> list[tuple[str, str]]:
        return [tuple(row) for row in self.rows(sa.select(NoticeRow.contact, NoticeRow.step).order_by(NoticeRow.id))]

    def states(self) -> list[str]:
        return [state for (state,) in self.rows(sa.select(MessageRow.state).order_by(MessageRow.id))]

    def is_unnotified(self) -> bool:
        query = sa.select(Alarm.active).where(Alarm.name == own.UNNOTIFIED.name)
        return any(active for (active,) in self.rows(query))


@pytest.fixture
def fleet(services: Services, clock: Clock) -> Fleet:
    return Fleet(services, clock)


def hook(receiver: Receiver, name: str = "hook", more: str = "") -> str:
    return f'[[contact]]\nname = "{name}"\nkind = "webhook"\nurl = "{receiver.url}"\n{more}\n'


def duty(mailbox: Mailbox, more: str = "") -> str:
    server = f'[mail]\nhost = "127.0.0.1"\nport = {mailbox.port}\nsender = "alarm@yufu.example"\n{more}\n'
    return server + '[[contact]]\nname = "duty"\nkind = "email"\naddress = "duty@yufu.example"\n'


def rule(contacts: str, more: str = "") -> str:
    return f"[[rule]]\ncontacts = [{contacts}]\n{more}\n"


def test_a_webhook_is_signed_and_says_what_happened(fleet: Fleet, receiver: Receiver) -> None:
    (fleet.services.settings.data_dir / "hook.secret").write_text("shared key\n")
    fleet.tell(hook(receiver, more='secret_file = "hook.secret"') + rule('"hook"'))
    fleet.set(UP)
    fleet.turn()
    ((path, headers, body),) = receiver.came
    timestamp = headers["X-Fengsui-Timestamp"]
    signature = hmac.new(b"shared key", f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert path == "/alarms"
    assert headers["X-Fengsui-Signature"] == f"sha256={signature}"
    document = json.loads(body)
    assert document["key"] == headers["Idempotency-Key"]
    assert document["count"] == 1
    assert document["notices"][0]["alarm"]["name"] == "tank.level:high-high"
    assert document["subject"] == "[烽燧] 1级 鱼复化工 tank.level 高高 92.5 (限值 90)"
    fleet.turn(100)
    assert len(receiver.came) == 1


def test_an_email_has_a_chinese_subject_and_plain_text(fleet: Fleet, mailbox: Mailbox) -> None:
    fleet.tell(duty(mailbox, 'security = "none"') + rule('"duty"', "on_return = true"))
    fleet.set(UP)
    fleet.turn()
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[烽燧] 1级 鱼复化工 tank.level 高高 92.5 (限值 90)"
    assert (mail["To"], mail.get_content_type()) == ("duty@yufu.example", "text/plain")
    assert GATEWAY in mail.get_content()
    fleet.set(0)
    fleet.turn(60)
    assert "已恢复正常" in mailbox.mails[1]["Subject"]
    assert fleet.states() == ["sent", "sent"]


@pytest.mark.parametrize("answer", ["451 later", "550 no such user"])
def test_a_mail_server_that_refuses_is_asked_again_with_the_same_message_id(
    fleet: Fleet, mailbox: Mailbox, answer: str
) -> None:
    fleet.tell(duty(mailbox, 'security = "none"') + rule('"duty"'))
    mailbox.answer = answer
    fleet.set(UP)
    fleet.turn()
    ((error,),) = fleet.rows(sa.select(MessageRow.last_error))
    assert answer[4:] in error
    mailbox.answer = "250 OK"
    fleet.turn(10)
    assert fleet.states() == ["sent"]
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 1


def test_mail_is_never_sent_in_the_clear_where_tls_is_asked_for(fleet: Fleet, mailbox: Mailbox) -> None:
    fleet.tell(duty(mailbox) + rule('"duty"'))
    fleet.set(UP)
    fleet.turn()
    assert mailbox.mails == []
    assert fleet.states() == ["waiting"]


def test_cap_alert_update_and_cancel(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(
        f'[[contact]]\nname = "bureau"\nkind = "cap"\nurl = "{receiver.url}"\nsender = "me@here"\n'
        + rule('"bureau"', "again_min = 5")
    )
    fleet.set(UP)
    fleet.turn()
    fleet.turn(300)
    fleet.set(0)
    fleet.turn(1)
    fleet.set(UP, occurrence=2)
    fleet.turn(1)
    alerts: list[Any] = []
    for body in receiver.bodies():
        SCHEMA.validate(body.decode())
        alerts.append(SCHEMA.to_dict(body.decode()))
    assert [alert["msgType"] for alert in alerts] == ["Alert", "Update", "Cancel", "Alert"]
    named = [f"me@here,{alert['identifier']},{alert['sent']}" for alert in alerts]
    assert alerts[1]["references"] == named[0]
    assert alerts[2]["references"] == " ".join(named[:2])
    assert "references" not in alerts[3]


LADDER = "escalate = [{ after_min = 2, contacts = ['chief'] }, { after_min = 10, contacts = ['mayor'] }]"


@pytest.fixture
def ladder(fleet: Fleet, receiver: Receiver) -> Fleet:
    fleet.tell("".join(hook(receiver, name) for name in ("duty", "chief", "mayor")) + rule('"duty"', LADDER))
    fleet.set(UP)
    fleet.turn()
    return fleet


def test_escalation_goes_on_until_somebody_acknowledges(ladder: Fleet) -> None:
    ladder.turn(119)
    assert ladder.steps() == [("duty", "raised")]
    ladder.turn(1)
    assert ladder.steps() == [("duty", "raised"), ("chief", "escalation-1")]
    ladder.set(int(Standing.ACTIVE))
    ladder.turn(3600)
    assert ladder.steps() == [("duty", "raised"), ("chief", "escalation-1")]


def test_escalation_survives_a_restart_and_tells_nobody_twice(ladder: Fleet, receiver: Receiver) -> None:
    ladder.clock.advance(120)
    ladder.start()
    ladder.start()
    ladder.clock.advance(480)
    ladder.start()
    assert ladder.steps() == [("duty", "raised"), ("chief", "escalation-1"), ("mayor", "escalation-2")]
    assert len(set(receiver.keys())) == len(receiver.keys()) == 3


def test_shelving_holds_everything_and_its_end_lets_it_go_on(ladder: Fleet) -> None:
    ladder.set(UP | int(Standing.SHELVED))
    ladder.turn(3600)
    assert ladder.steps() == [("duty", "raised")]
    ladder.set(UP)
    ladder.turn(1)
    assert ladder.steps()[1:] == [("chief", "escalation-1"), ("mayor", "escalation-2")]


def test_an_alarm_that_was_over_while_the_program_was_down_is_told(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver, more="pause_s = 0") + rule('"hook"', "on_return = true"))
    fleet.set(UP)
    fleet.set(0)
    fleet.start()
    fleet.turn(1)
    assert fleet.steps() == [("hook", "raised"), ("hook", "returned")]
    fleet.turn(1)
    assert fleet.rows(sa.select(Watch)) == []
    assert len(receiver.came) == 2


def test_what_happened_before_there_were_rules_is_nobodys_news_but_what_stands_is(
    fleet: Fleet, receiver: Receiver
) -> None:
    fleet.set(UP, "old:high")
    fleet.set(0, "old:high")
    fleet.set(UP, "standing:high")
    fleet.tell(hook(receiver) + rule('"hook"'))
    assert fleet.rows(sa.select(NoticeRow.alarm)) == [("standing:high",)]


def test_an_alarm_of_a_gateway_of_an_earlier_release(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    with fleet.services.database.writing() as session:
        session.add(
            Alarm(
                gateway=GATEWAY, name="t:high", tag="t", level="high", priority=2, record_id=1, active=True, raised_ns=5
            )
        )
    fleet.turn()
    assert fleet.rows(sa.select(NoticeRow.alarm, NoticeRow.occurrence)) == [("t:high", 5)]


def test_a_crash_between_sending_and_noting_sends_the_same_again(
    fleet: Fleet, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    fleet.set(UP)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(service, "note_sent", die)
        with pytest.raises(SystemExit):
            fleet.turn()
    fleet.start()
    first, second = receiver.bodies()
    assert first == second
    assert len(set(receiver.keys())) == 1
    assert fleet.states() == ["sent"]


def test_a_crash_before_a_decision_is_written_loses_nothing(
    fleet: Fleet, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    fleet.set(UP)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(queue, "carry_out", die)
        with pytest.raises(SystemExit):
            fleet.turn()
    fleet.start()
    assert fleet.steps() == [("hook", "raised")]


def test_a_record_that_is_committed_again_after_a_restore_tells_nobody_twice(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    fleet.set(UP)
    fleet.turn()
    fleet.set(0)
    fleet.turn(1)
    with fleet.services.database.writing() as session:
        session.add(
            AlarmEvent(gateway=GATEWAY, kind="raised", received_ns=1, record_id=1, alarm="tank.level:high-high")
        )
    fleet.turn(100)
    assert fleet.steps() == [("hook", "raised")]


def test_a_flood_is_one_message_with_the_first_ten_and_the_count(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    for number in range(300):
        fleet.set(UP, f"t{number}:high", priority=1 + (number % 4))
    fleet.turn()
    (body,) = receiver.bodies()
    document = json.loads(body)
    assert (document["count"], len(document["notices"])) == (300, 10)
    assert {notice["alarm"]["priority"] for notice in document["notices"]} == {1}
    assert document["by_priority"] == {"1": 75, "2": 75, "3": 75, "4": 75}
    assert "另有 290 条" in document["text"]
    for number in range(300, 320):
        fleet.set(UP, f"t{number}:high")
    fleet.turn(59)
    assert len(receiver.came) == 1
    fleet.turn(1)
    assert json.loads(receiver.bodies()[1])["count"] == 20


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_refusal_is_tried_again_with_growing_pauses_and_no_redirect_is_followed(
    fleet: Fleet, receiver: Receiver, status: int
) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    receiver.status = status
    fleet.set(UP)
    for seconds in (0, 4, 1, 9, 1, 19, 1):
        fleet.turn(seconds)
    assert [path for path, _, _ in receiver.came] == ["/alarms"] * 4
    assert fleet.rows(sa.select(MessageRow.last_error)) == [(f"answered {status}: why?",)]
    receiver.status = 204
    fleet.turn(40)
    assert fleet.states() == ["sent"]
    assert len(set(receiver.keys())) == 1


def test_a_contact_that_fails_for_long_is_an_alarm_until_it_is_reached(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"', "priorities = [1]"))
    receiver.status = 500
    fleet.set(UP)
    fleet.turn()
    fleet.turn(599)
    assert not fleet.is_unnotified()
    fleet.turn(601)
    assert fleet.is_unnotified()
    receiver.status = 200
    fleet.turn(600)
    assert not fleet.is_unnotified()


def test_what_nobody_took_for_a_day_is_given_up_and_stays_visible(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"', "priorities = [1]"))
    receiver.status = 500
    fleet.set(UP)
    fleet.turn()
    fleet.set(UP, "second:high")
    fleet.turn(86_400)
    assert fleet.states()[0] == "given-up"
    receiver.status = 200
    fleet.turn(600)
    assert fleet.states() == ["given-up", "sent"]
    assert json.loads(receiver.bodies()[-1])["notices"][0]["alarm"]["name"] == "second:high"


def test_what_waits_for_a_contact_that_left_the_rules_is_given_up_and_stays_visible(
    fleet: Fleet, receiver: Receiver
) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    receiver.status = 500
    fleet.set(UP)
    fleet.turn()
    fleet.set(UP, "second:high")
    fleet.turn(1)
    fleet.tell(hook(receiver, "another"))
    assert fleet.states() == ["given-up", "given-up"]
    assert {error for (error,) in fleet.rows(sa.select(MessageRow.last_error))} == {
        "the contact is no longer in the rules"
    }


def test_a_mistake_in_the_rules_leaves_those_before_at_work(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    (fleet.services.settings.data_dir / "notify.toml").write_text("[[rule]]\n# longer than before\n" * 9)
    fleet.set(UP)
    fleet.turn()
    assert len(receiver.came) == 1
    assert fleet.program.health()["ok"] is False
    assert "[[rule]] 1" in str(fleet.program.health()["rules"])


def test_a_slow_contact_holds_up_no_other(fleet: Fleet, receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    with http_receiver() as quick:
        rules = hook(receiver, "slow") + hook(quick, "quick")
        fleet.set(UP)
        (fleet.services.settings.data_dir / "notify.toml").write_text(rules + rule('"slow", "quick"'))

        async def work() -> None:
            task = asyncio.create_task(Notify(fleet.services).run())
            while not quick.came:  # noqa: ASYNC110 (a server in a thread takes it)
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(asyncio.wait_for(work(), 20))
        assert receiver.came == []
        receiver.hold.set()


def test_a_contact_where_nobody_listens(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver).replace(receiver.url, f"http://127.0.0.1:{free_port()}/") + rule('"hook"'))
    fleet.set(UP)
    fleet.turn()
    ((error,),) = fleet.rows(sa.select(MessageRow.last_error))
    assert error.startswith("ConnectError")


def test_old_messages_are_pruned_but_not_while_their_alarm_stands(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver, more="pause_s = 0") + rule('"hook"'))
    fleet.set(UP, "over:high")
    fleet.set(UP, "stands:high")
    fleet.turn()
    fleet.set(UP, "later:high")
    fleet.turn(1)
    fleet.set(0, "over:high")
    fleet.set(0, "later:high")
    fleet.turn(91 * 86_400)
    with fleet.services.database.writing() as session:
        assert service.prune(session, fleet.clock()) == 1
    assert {name for (name,) in fleet.rows(sa.select(NoticeRow.alarm))} == {"over:high", "stands:high"}
    fleet.turn(1)
    assert len(receiver.came) == 2


# A clock that jumps, and rules that change in between.


def test_a_clock_that_goes_back_a_year_holds_up_neither_pause_nor_retry_nor_escalation(
    fleet: Fleet, receiver: Receiver, mailbox: Mailbox
) -> None:
    fleet.clock.advance(365 * 86_400)
    fleet.tell(escalating(receiver, mailbox).replace("pause_s = 0", "pause_s = 60"))
    fleet.set(UP, "a.x:high")
    fleet.turn()
    receiver.status = 503
    fleet.turn(240)
    assert len(receiver.came) == 2
    fleet.clock.advance(-365 * 86_400)
    receiver.status = 200
    fleet.turn()
    assert len(receiver.came) == 3, "the message that failed goes out"
    fleet.set(UP, "b.x:high")
    fleet.turn(60)
    assert len(receiver.came) == 4, "and so does the next one"
    fleet.turn(600)
    assert len(mailbox.mails) == 1, "and the next in line is called"


def test_nothing_left_to_make_a_message_of_is_no_fault(fleet: Fleet, receiver: Receiver) -> None:
    fleet.tell(hook(receiver) + rule('"hook"'))
    with fleet.services.database.writing() as session:
        service.make_message(session, Contact(name="hook", kind="webhook", url=receiver.url), fleet.clock())
    assert fleet.states() == []


# Against real acknowledgements: records committed as ingest does, requests decided as the console's are.


def escalating(receiver: Receiver, mailbox: Mailbox) -> str:
    duty_by_mail = duty(mailbox, 'security = "none"')
    steps = '[[rule.escalate]]\nafter_min = 10\ncontacts = ["duty"]\n'
    return hook(receiver, more="pause_s = 0") + duty_by_mail + rule('"hook"', "again_min = 4\n" + steps)


def send_raised(scene: Scene) -> None:
    told: Any = {"alarm": TANK, "tag": "tank.level", "level": "high-high", "change": "raised", "value": 92.5}
    record = AlarmRecord(1, None, limit=90.0, priority=1, standing=UP, occurrence=7, **told)
    scene.send(1, record, lane=Lane.ALARMS)


def acknowledge_on_site(scene: Scene) -> None:
    """The operator presses the button on the gateway's own page, and its record arrives in lane A."""
    told: Any = {"alarm": TANK, "tag": "tank.level", "level": "high-high", "change": "acknowledged"}
    record = StandingRecord(2, None, priority=1, standing=ACTIVE, occurrence=7, by="李", where="page", **told)
    scene.send(2, record, lane=Lane.ALARMS)


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


@pytest.fixture
def manned(fleet_of_scene: Fleet, receiver: Receiver, mailbox: Mailbox) -> Fleet:
    """A fleet whose alarms call by webhook, and after ten minutes by mail as well."""
    fleet_of_scene.tell(escalating(receiver, mailbox))
    return fleet_of_scene


@pytest.fixture
def fleet_of_scene(scene: Scene, clock: Clock) -> Fleet:
    return Fleet(scene.services, clock, registers=False)


def test_nobody_acknowledges_and_the_next_is_called(
    scene: Scene, manned: Fleet, receiver: Receiver, mailbox: Mailbox
) -> None:
    send_raised(scene)
    manned.turn()
    manned.turn(300)
    assert (len(receiver.came), len(mailbox.mails)) == (2, 0)
    manned.turn(300)
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("dies", [False, True], ids=["goes-on", "dies-meanwhile"])
def test_an_acknowledgement_on_the_gateway_ends_the_escalation(
    scene: Scene, manned: Fleet, receiver: Receiver, mailbox: Mailbox, dies: bool
) -> None:
    send_raised(scene)
    manned.turn()
    acknowledge_on_site(scene)
    if dies:
        manned.start()
    for _ in range(5):
        manned.turn(300)
    assert (len(receiver.came), len(mailbox.mails)) == (1, 0)


def test_a_request_that_is_only_pending_does_not_end_it_and_the_gateways_answer_does(
    scene: Scene, manned: Fleet, receiver: Receiver, mailbox: Mailbox
) -> None:
    found_key(manned.services.settings.data_dir)
    report = edge.reported(commands=operations.NAMES)
    scene.committer.commit([edge.up(Up.REPORTED, report, received_ns=manned.clock())])
    send_raised(scene)
    manned.turn()
    with manned.services.database.writing() as session:
        wanted = AlarmRequest(alarm=TANK, occurrence=7)
        key = partial(load_key, manned.services.settings.data_dir)
        assert operations.operate(session, key, GATEWAY, "acknowledge", wanted, "王", manned.clock())
    manned.turn(600)
    assert len(mailbox.mails) == 1, "the gateway has not decided yet, so somebody else is called"
    told = len(receiver.came)
    acknowledge_on_site(scene)
    for _ in range(5):
        manned.turn(300)
    assert (len(receiver.came), len(mailbox.mails)) == (told, 1)


def test_an_acknowledged_alarm_of_the_fleets_own_calls_nobody_further(
    manned: Fleet, receiver: Receiver, mailbox: Mailbox
) -> None:
    with manned.services.database.writing() as session:
        own.raise_alarm(session, own.FLEET, own.BEHIND, "700 s", manned.clock(), "district")
    manned.turn()
    (body,) = receiver.bodies()
    alarm = json.loads(body)["notices"][0]["alarm"]
    assert (alarm["gateway"], alarm["title"], alarm["place"]) == ("", "district", "烽燧平台")
    with manned.services.database.writing() as session:
        wanted = AlarmRequest(alarm=own.BEHIND.name_for("district"))
        key = partial(load_key, manned.services.settings.data_dir)
        operations.operate(session, key, own.FLEET, "acknowledge", wanted, "王", manned.clock())
    for _ in range(5):
        manned.turn(300)
    assert (len(receiver.came), len(mailbox.mails)) == (1, 0)


def test_rules_for_some_gateways_or_sites_tell_of_no_alarm_of_the_fleet_as_a_whole(
    fleet: Fleet, receiver: Receiver
) -> None:
    rules = [rule('"hook"', f'gateways = ["{GATEWAY}"]'), rule('"hook"', 'sites = ["yufu-chem"]')]
    fleet.tell(hook(receiver) + "".join(rules))
    with fleet.services.database.writing() as session:
        own.raise_alarm(session, own.FLEET, own.BEHIND, "700 s", fleet.clock(), "district")
    fleet.turn()
    assert receiver.came == []
