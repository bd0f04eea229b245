"""A fleet on real SQLite files, and on PostgreSQL where a server is installed; a scripted clock."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import g, has_request_context
from sqlalchemy.orm import Session

from fleet.bootstrap import Services, bootstrap
from fleet.db import Database, build_engine, parse_url
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


@pytest.fixture(autouse=True)
def _a_request_that_reads_opens_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite whoever commits waits for all readers, and whoever begins waits for it: a request that does so while it
    reads waits for itself, and everybody with it."""

    def watched(open_session: Callable[..., AbstractContextManager[Session]], *, is_reading: bool) -> object:
        @contextmanager
        def opened(database: Database, *given: object) -> Iterator[Session]:
            if not has_request_context():
                with open_session(database, *given) as session:
                    yield session
                return
            assert not g.get("reads", False), "this request has a session open that reads"
            with open_session(database, *given) as session:
                g.reads = is_reading
                try:
                    yield session
                finally:
                    g.reads = False

        return opened

    monkeypatch.setattr(Database, "reading", watched(Database.reading, is_reading=True))
    monkeypatch.setattr(Database, "writing", watched(Database.writing, is_reading=False))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database_url() -> str:
    """The database of `services`: SQLite in its data directory, unless a test module says otherwise."""
    return ""


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of this release, to be copied: the migrations are run once, not for every test."""
    services = bootstrap(Settings(data_dir=tmp_path_factory.mktemp("migrated"), broker_password="x", secret_key="y"))
    revisions.upgrade(services.database.engine)
    services.close()
    return services.settings.data_dir / "fleet.db"


@pytest.fixture
def services(tmp_path: Path, clock: Clock, database_url: str, migrated_sqlite: Path) -> Iterator[Services]:
    settings = Settings(
        data_dir=tmp_path, database_url=database_url, broker_password="service-secret", secret_key="signing-key"
    )
    if not database_url:
        shutil.copyfile(migrated_sqlite, tmp_path / "fleet.db")
    services = bootstrap(settings, clock)
    yield services
    services.close()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A server for all tests that ask for it."""
    if POSTGRESQL is None:
        pytest.skip("no PostgreSQL server is installed under /usr/lib/postgresql")
    with postgresql(POSTGRESQL) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> str:
    """That server, with a database ``migrated`` of this release."""
    _make_anew(postgresql_url, "migrated")
    engine = build_engine(parse_url(_beside(postgresql_url, "migrated")))
    revisions.upgrade(engine)
    engine.dispose()
    return postgresql_url


@pytest.fixture
def empty_postgresql(postgresql_url: str) -> str:
    """A database of that server, without a table."""
    return _make_anew(postgresql_url, "empty")


def both_databases(request: pytest.FixtureRequest) -> str:
    """Return the URL for a parametrized `database_url`, of this release: ``sqlite`` or ``postgresql``."""
    if request.param == "sqlite":
        return ""
    return _make_anew(str(request.getfixturevalue("migrated_postgresql")), "fleet", like="migrated")


def _make_anew(server: str, name: str, like: str = "template1") -> str:
    engine = build_engine(parse_url(server)).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {like}"))
    engine.dispose()
    return _beside(server, name)


def _beside(server: str, name: str) -> str:
    return f"{server.rpartition('/')[0]}/{name}"
