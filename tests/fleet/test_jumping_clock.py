"""A gateway's clock that jumps within a batch: nothing is lost, doubled or put in another order. On both databases."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from fleet.bootstrap import Services
from fleet.readings import service as readings
from fleet.readings.models import Reading, Record
from fleet.relay import service as relay
from tests.fleet import edge
from tests.fleet.conftest import START_NS, both_databases
from tests.fleet.scene import Scene
from wire.record import Lane

YEAR_S = 365 * 86_400
TIMES_S = [0, 1, YEAR_S, YEAR_S + 1, 2, -YEAR_S, -1.7e9, 3, 3, 3.5]
"""A year ahead and back, a year behind, at 1970, set right, and held by a leap second."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


def test_order_and_count_go_by_seq_whatever_the_clock_says(services: Services) -> None:
    scene = Scene(services)
    scans = [
        msgspec.structs.replace(edge.scan(n, float(n), 1.0), wall_ns=START_NS + int(at * 10**9))
        for n, at in enumerate(TIMES_S)
    ]
    scene.send(1, *scans[:6])
    scene.send(1, *scans)  # its acknowledgement was lost, and the clock jumped before it was sent again
    scene.session = scene.hello()
    scene.send(5, *scans[4:])
    assert [seq for (seq,) in scene.rows(sa.select(Record.seq).order_by(Record.id))] == list(range(1, 11))
    assert scene.count(Reading) == 20
    with services.database.reading() as session:
        rows = relay.next_rows(session, Lane.MEASUREMENTS, 0, 100)
        number = session.scalar(sa.select(Reading.tag_id).order_by(Reading.tag_id).limit(1)) or 0
        points = readings.series(session, number, 0, START_NS + 2 * YEAR_S * 10**9, 5000)
    assert [row.seq for row in rows] == list(range(1, 11))
    assert min(point.min for point in points) == 0.0
    assert max(point.max for point in points) == 9.0
