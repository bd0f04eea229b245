"""What a chart of the console waits for."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from fleet.bootstrap import bootstrap
from fleet.founding import found
from fleet.gateways import service as gateways
from fleet.readings.service import series
from fleet.settings import load

FILL_SERIES = """
INSERT INTO reading (tag_id, at_ns, record_id, value, quality)
WITH RECURSIVE second (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM second WHERE n + 1 < :count)
SELECT :tag, n * 1000000000, n, n % 60, 0 FROM second
"""


def measure_series() -> dict[str, float]:
    """Milliseconds to read a month of a 1 s tag from SQLite in 800 parts."""
    month_s = 30 * 86_400
    with tempfile.TemporaryDirectory(dir=".") as folder:
        found(Path(folder) / "fleet", "", "admin", "a password for the bench")
        services = bootstrap(load(Path(folder) / "fleet"))
        with services.database.writing() as session:
            gateways.register(session, "gw-bench-0001", "", None, 0)
            tag = gateways.tag_ids(session, "gw-bench-0001", ["tank.level"])["tank.level"]
            session.execute(sa.text(FILL_SERIES), {"tag": tag, "count": month_s})
        with services.database.reading() as session:
            began = time.perf_counter()
            points = series(session, tag, 0, month_s * 10**9, 800)
            took = time.perf_counter() - began
        services.close()
    assert len(points) == 800
    return {"series_month_ms": took * 1e3}
