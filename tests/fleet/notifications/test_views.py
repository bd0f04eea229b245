"""What console, API and command line tell of notifications."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet import cli
from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.alarms.models import AlarmEvent
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.notifications import queue
from fleet.notifications.models import NoticeRow
from fleet.settings import Settings, save
from tests.fleet.conftest import Clock
from tests.fleet.notifications.receivers import Receiver, http_receiver
from tests.fleet.notifications.test_program import UP, Fleet, hook, rule

LOGIN = ("operator", "correct horse battery")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as found:
        yield found


@pytest.fixture
def told(services: Services, clock: Clock, receiver: Receiver) -> Fleet:
    """A fleet that told one contact of an alarm, and cannot reach another."""
    fleet = Fleet(services, clock)
    with http_receiver() as broken:
        broken.status = 503
        fleet.tell(hook(receiver, "duty") + hook(broken, "chief") + rule('"duty", "chief"'))
        fleet.set(UP)
        fleet.turn()
        fleet.set(UP, "<b>.other:high")
        fleet.turn(1)
    with services.database.writing() as session:
        accounts.add(session, *LOGIN, Role.OPERATOR, clock())
    return fleet


def test_the_api_tells_of_each_message_and_of_what_waits(told: Fleet) -> None:
    client = create_app(told.services).test_client()
    assert client.get("/api/notifications").status_code == 401
    found = client.get("/api/notifications", auth=LOGIN).get_json()
    by_contact = {message["contact"]: message for message in found["messages"]}
    assert (by_contact["duty"]["state"], by_contact["duty"]["tries"]) == ("sent", 1)
    assert by_contact["chief"]["state"] == "waiting"
    assert by_contact["chief"]["last_error"] == "answered 503: why?"
    assert by_contact["chief"]["notices"][0]["alarm"]["name"] == "tank.level:high-high"
    assert found["waiting"] == {"chief": 1, "duty": 1}
    (only,) = client.get("/api/notifications?contact=duty", auth=LOGIN).get_json()["messages"]
    assert only["contact"] == "duty"


def test_the_page_shows_errors_and_what_waits_and_is_reached_from_the_alarms(told: Fleet) -> None:
    client = create_app(told.services).test_client()
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert token is not None
    client.post("/sign-in", data={"name": LOGIN[0], "password": LOGIN[1], "csrf_token": token[1]})
    assert 'href="/alarms/notifications"' in client.get("/alarms").text
    told.set(UP, "<b>.third:high")
    told.turn(60)
    page = client.get("/alarms/notifications").text
    for words in ("ConnectError", "duty", "chief", "尚未送达", "已送达", "&lt;b&gt;.other"):
        assert words in page
    assert "<b>.other" not in page


def write_fleet(folder: Path, rules: str | None) -> list[str]:
    settings = Settings(
        data_dir=folder, broker_password="x", secret_key="y", notify_rules="notify.toml" if rules else ""
    )
    save(settings)
    if rules:
        (folder / "notify.toml").write_text(rules)
    return ["--data", str(folder)]


def test_check_and_test(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    where = write_fleet(tmp_path, hook(receiver, "duty") + rule('"duty"'))
    assert cli.main(["notifications", "check", *where]) == 0
    assert "1 contacts, 1 rules" in capsys.readouterr().out
    assert cli.main(["notifications", "test", "duty", *where]) == 0
    assert "测试消息" in receiver.bodies()[0].decode()
    receiver.status = 403
    assert cli.main(["notifications", "test", "duty", *where]) == 1
    assert "answered 403" in capsys.readouterr().err
    assert cli.main(["notifications", "test", "nobody", *where]) == 1
    assert "use one of: duty" in capsys.readouterr().err


def test_check_without_rules_says_how_to_have_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notifications", "check", *write_fleet(tmp_path, None)]) == 1
    assert "notify_rules" in capsys.readouterr().err


def test_the_journal_is_read_on_from_where_it_was_read_to(told: Fleet) -> None:
    with told.services.database.reading() as session:
        assert queue.plan(session, told.program._rules, told.clock()).is_empty  # type: ignore[arg-type]
        assert session.scalar(sa.select(sa.func.count()).select_from(NoticeRow)) == 4
        assert session.scalar(sa.select(sa.func.max(AlarmEvent.id))) == 2
