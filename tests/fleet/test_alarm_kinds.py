"""What an alarm is called where its level does not tell it apart: in the console, the journal and messages."""

from __future__ import annotations

import msgspec
import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from fleet.alarms import journal
from fleet.alarms.kinds import read_kinds
from fleet.bootstrap import Services
from fleet.gateways import service as gateways
from fleet.notifications import queue
from fleet.notifications.message import write_what
from tests.fleet import edge
from tests.fleet.console.test_pages import app, client, speak, stranger  # noqa: F401 - fixtures
from wire.record import AlarmRecord
from wire.topics import Up
from wire.twin import AlarmInfo

TAG = "tank-01.level"
RULES = (
    AlarmInfo(name=f"{TAG}:high", tag=TAG, level="high", limit=80.0, priority=2, title="高液位"),
    AlarmInfo(name=f"{TAG}:blue", tag=TAG, level="high", limit=70.0, priority=4, title="蓝色预警"),
    AlarmInfo(name=f"{TAG}:red", tag=TAG, level="high", limit=90.0, priority=1),
    AlarmInfo(name="vote:combined", tag="", level="combined", limit=None, priority=1, title="三取二"),
)


def raise_all(session: Session, now_ns: int) -> None:
    for seq, rule in enumerate(RULES[:3], 1):
        record = AlarmRecord(seq, now_ns, rule.name, TAG, "high", "raised", rule.priority, 95.0, rule.limit)
        journal.note(session, edge.GATEWAY, seq, record, now_ns, now_ns)


@pytest.mark.parametrize("reported", [None, {}, {"alarms": []}])
def test_gateway_that_has_reported_no_rules_has_no_kinds(reported) -> None:
    assert read_kinds(reported) == {}


def test_rule_with_a_name_of_its_own_is_called_by_its_title_else_by_its_name() -> None:
    kinds = read_kinds({"alarms": [msgspec.to_builtins(rule) for rule in RULES]})
    assert kinds == {f"{TAG}:blue": "蓝色预警", f"{TAG}:red": "red", "vote:combined": "三取二"}


def test_alarms_of_one_level_on_one_tag_are_told_apart(client: FlaskClient, services: Services) -> None:  # noqa: F811
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "", None, services.clock())
        raise_all(session, services.clock() - 10**9)
    speak(services, Up.REPORTED, edge.reported(alarms=RULES))
    for path in ("/alarms", "/alarms?state=journal", "/alarms/statistics"):
        page = client.get(path).text
        assert all(word in page for word in ("蓝色预警", "red")), path
    with services.database.reading() as session:
        found = queue.read_alarms(session, [(edge.GATEWAY, rule.name) for rule in RULES[:3]])
    assert [write_what(found[edge.GATEWAY, rule.name], "zh").split(" ")[1] for rule in RULES[:3]] == [
        "高", "蓝色预警", "red",
    ]  # fmt: skip
