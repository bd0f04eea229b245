"""What every query of the console works on, and the units that it counts in."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.orm import Session

from fleet.live import Live
from fleet.overview.trends import Trends

NS = 1_000_000_000


class Sources(NamedTuple):
    """What a page is gathered from: a session, the newest values in memory, the trends, and the time."""

    session: Session
    live: Live
    trends: Trends
    now_ns: int
