"""Two machines under one identity: hellos that come back in turns."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from wire.topics import Up


@pytest.mark.parametrize(
    ("boots", "is_clone"),
    [
        (["a1", "a1", "a1"], False),
        (["a1", "a2", "a3"], False),
        (["a1", "b1", "b1", "b2"], False),
        (["a1", "b1", "a1"], True),
        (["a1", "b1", "b2", "b3", "a1"], True),
    ],
    ids=["says hello again", "boots", "is replaced", "takes turns", "comes back late"],
)
def test_alarm_is_raised_when_a_boot_comes_back_after_another(services: Services, boots, is_clone) -> None:
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "", None, START_NS)
    committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    for boot in boots:
        committer.commit([edge.up(Up.HELLO, msgspec.structs.replace(edge.hello(), boot=boot, machine=boot[0]))])
    with services.database.reading() as session:
        alarm = session.get(Alarm, (edge.GATEWAY, own.CLONE.name))
        assert (alarm is not None and alarm.active) is is_clone
