"""A fleet on real SQLite files, and on PostgreSQL where a server is installed; a scripted clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet.bootstrap import Services, bootstrap
from fleet.db import build_engine, parse_url
from fleet.migrations import revisions
from fleet.settings import Settings
from tests.fleet.postgres import find_programs, postgresql

START_NS = 1_790_000_000_000_000_000
POSTGRESQL = find_programs()


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
def database_url() -> str:
    """The database of `services`: SQLite in its data directory, unless a test module says otherwise."""
    return ""


@pytest.fixture
def services(tmp_path: Path, clock: Clock, database_url: str) -> Iterator[Services]:
    settings = Settings(
        data_dir=tmp_path, database_url=database_url, broker_password="service-secret", secret_key="signing-key"
    )
    services = bootstrap(settings, clock)
    revisions.upgrade(services.database.engine)
    yield services
    services.close()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A server for all tests that ask for it."""
    if POSTGRESQL is None:
        pytest.skip("no PostgreSQL server is installed under /usr/lib/postgresql")
    with postgresql(POSTGRESQL) as url:
        yield url


@pytest.fixture
def empty_postgresql(postgresql_url: str) -> str:
    """That server's database, emptied."""
    engine = build_engine(parse_url(postgresql_url))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return postgresql_url


def both_databases(request: pytest.FixtureRequest) -> str:
    """Return the URL for a parametrized `database_url`: ``sqlite`` or ``postgresql``."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("empty_postgresql"))
