"""A fleet on real SQLite files, and a scripted clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.bootstrap import Services, bootstrap
from fleet.migrations import revisions
from fleet.settings import Settings

START_NS = 1_790_000_000_000_000_000


class Clock:
    """UTC that moves when a test says so."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def services(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    settings = Settings(data_dir=tmp_path, broker_password="service-secret", secret_key="signing-key")
    services = bootstrap(settings, clock)
    revisions.upgrade(services.database.engine)
    yield services
    services.close()
