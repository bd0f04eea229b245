"""What a chart of a month of waveforms waits for."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from flask_login.utils import _create_identifier

from fleet.accounts import service as accounts
from fleet.app import create_app
from fleet.bootstrap import Services, bootstrap
from fleet.founding import found
from fleet.gateways import service as gateways
from fleet.settings import load
from fleet.waveforms.models import WaveCounter, WaveRun, WaveStream
from fleet.waveforms.service import chart

GATEWAY, STREAM = "gw-bench-0001", "CQ.YF001.00.HNZ"
MONTH_S = 30 * 86_400
BEGIN_S = 1_790_000_000 // 3600 * 3600
TRIES = 5

FILL_PACKETS = """
INSERT INTO waveform
    (seq, numbers, record_id, stream_id, start_ns, end_ns, rate_hz, samples, least, most, timing, flags)
WITH RECURSIVE second (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM second WHERE n + 1 < :count)
SELECT 2 * n + 1, 2, n + 1, :stream, (:begin + n) * 1000000000, (:begin + n + 1) * 1000000000, 100.0, 100,
       -40 - n % 50, 40 + n % 50, 100, 0 FROM second
"""
FILL_ENVELOPES = """
INSERT INTO {table} (stream_id, at_ns, samples, least, most, timing, flags)
SELECT stream_id, start_ns / {width} * {width}, sum(samples), min(least), max(most), 100, 0
FROM waveform GROUP BY stream_id, start_ns / {width}
"""


def measure_waveform_chart() -> dict[str, float]:
    """Milliseconds for the page of a month of 100 samples/s: 2.6 million packets of 1 s, on SQLite; the median."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        found(Path(folder) / "fleet", "", "admin", "a password for the bench")
        services = bootstrap(load(Path(folder) / "fleet"))
        fill(services)
        end_ns = (BEGIN_S + MONTH_S) * 10**9
        with services.database.reading() as session:
            began = time.perf_counter()
            drawn = chart(session, STREAM, BEGIN_S * 10**9, end_ns)
            chart_ms = (time.perf_counter() - began) * 1e3
            identity = accounts.identify(accounts.get(session, "admin"))
        assert sum(one.most - one.least > 0 for one in drawn.columns) == 720
        app = create_app(services)
        client = app.test_client()
        with app.test_request_context("/", environ_base=client.environ_base), client.session_transaction() as kept:
            kept.update(_user_id=identity.get_id(), _fresh=True, _id=_create_identifier())
        took = []
        for _ in range(TRIES):
            began = time.perf_counter()
            page = client.get(f"/waveforms/{STREAM}?span=30d&at={end_ns}")
            took.append((time.perf_counter() - began) * 1e3)
            assert page.status_code == 200, page.status
            assert 'class="outline"' in page.text
        services.close()
    return {"quake_month_chart_ms": sorted(took)[TRIES // 2], "waveform_month_query_ms": chart_ms}


def fill(services: Services) -> None:
    """Write a month of packets as ingest leaves them."""
    with services.database.writing() as session:
        gateways.register(session, GATEWAY, "", None, 0)
        stream = WaveStream(gateway=GATEWAY, name=STREAM, station="CQ.YF001", rate_hz=100.0, timing=100, flags=0)
        stream.newest_ns, stream.untimed = (BEGIN_S + MONTH_S) * 10**9, 0
        session.add(stream)
        session.flush()
        session.execute(sa.text(FILL_PACKETS), {"stream": stream.id, "count": MONTH_S, "begin": BEGIN_S})
        for table, width_s in (("wave_minute", 60), ("wave_hour", 3600)):
            session.execute(sa.text(FILL_ENVELOPES.format(table=table, width=width_s * 10**9)))
        session.add(WaveCounter(id=1, next_seq=2 * MONTH_S + 1))
        session.add(WaveRun(stream_id=stream.id, start_ns=BEGIN_S * 10**9, end_ns=stream.newest_ns, rate_hz=100.0))
