"""The database: one engine, the base of all tables, and the only two ways to open a transaction.

SQLite (embedded, the default) runs with ``journal_mode=TRUNCATE`` and ``synchronous=FULL``: several processes write,
and SQLite before 3.51.3 can reset a WAL wrongly when two connections write at once. A writer begins with BEGIN
IMMEDIATE, so it waits for its turn at the start and never fails half-way. PostgreSQL is used by URL with the same code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import DeclarativeBase, Session

from fleet.errors import SetupError

if TYPE_CHECKING:
    import psycopg

BUSY_TIMEOUT_MS = 10_000
WRITE = "fleet_write"
"""Execution option of connections that will write."""

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit key. SQLite numbers rows by itself only for a column declared INTEGER (which holds 64 bits there)."""


class Base(DeclarativeBase):
    """Base of all tables. Constraint names are fixed so that migrations can name them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: sa.BigInteger(), dict[str, Any]: sa.JSON(), list[str]: sa.JSON()}  # noqa: RUF012


def load_models() -> None:
    """Import every table, so that ``Base.metadata`` is whole."""
    from fleet.accounts import models as accounts
    from fleet.alarms import models as alarms
    from fleet.audit import models as audit
    from fleet.certificates import models as certificates
    from fleet.chains import models as chains
    from fleet.claims import models as claims
    from fleet.commands import models as commands
    from fleet.commissioning import models as commissioning
    from fleet.configs import models as configs
    from fleet.ddi import models as ddi
    from fleet.diagnosis import models as diagnosis
    from fleet.gateways import models as gateways
    from fleet.kits import models as kits
    from fleet.ledger import models as ledger
    from fleet.notifications import models as notifications
    from fleet.quakes import models as quakes
    from fleet.readings import models as readings
    from fleet.relay import models as relay
    from fleet.releases import models as releases
    from fleet.rollouts import models as rollouts
    from fleet.sites import models as sites
    from fleet.waveforms import models as waveforms

    _ = (
        accounts,
        alarms,
        audit,
        certificates,
        chains,
        claims,
        commands,
        commissioning,
        configs,
        ddi,
        diagnosis,
        gateways,
        kits,
        ledger,
        notifications,
        quakes,
        readings,
        relay,
        releases,
        rollouts,
        sites,
        waveforms,
    )


def parse_url(text: str) -> URL:
    """Read a database URL. Raises SetupError with a hint unless it is SQLite or PostgreSQL."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SetupError(
            f"'{text}' is not a database URL", hint="use sqlite:////path/fleet.db or postgresql://user@host/name"
        ) from error
    name = url.get_backend_name()
    if name == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if name != "sqlite":
        raise SetupError(f"database '{name}' is not supported", hint="use sqlite or postgresql")
    return url


def build_engine(url: URL, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """Make the engine. Connects to nothing yet. ``busy_timeout_ms``: how long SQLite waits for another writer."""
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_ms / 1000})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": max(busy_timeout_ms // 1000, 1)})


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN comes too late and is never IMMEDIATE: transactions are ours (see _begin_sqlite).
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=TRUNCATE")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-65536")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


TURN = 0x6665_6E67
"""The lock by which writers of PostgreSQL take turns."""


def take_turn(session: Session) -> None:
    """Wait until no other transaction that took its turn is open, and keep them waiting until this one has ended.

    Ids that are drawn after it become visible in their order. A writer of SQLite has had its turn since its beginning.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(TURN)))


@contextmanager
def copying(connection: Connection, statement: str) -> Iterator[psycopg.Copy]:
    """Run a COPY of PostgreSQL in the connection's transaction. Its errors become those of SQLAlchemy."""
    import psycopg  # a fleet on SQLite does not wait for it

    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error, dialect=connection.dialect) from error


STATEMENT_FAULTS = ("22", "23", "54")
"""Classes of SQLSTATE that blame the statement's own values: data, constraint, a limit of the program exceeded."""


def is_outage(error: Exception) -> bool:
    """Tell whether an error concerns the database at large, and not only the values of this transaction."""
    original = getattr(error, "orig", None) or error
    if state := getattr(original, "sqlstate", None):
        return not str(state).startswith(STATEMENT_FAULTS)
    if isinstance(error, (DataError, IntegrityError, OverflowError)):
        return False
    return not (isinstance(error, StatementError) and isinstance(original, (OverflowError, ValueError, TypeError)))


class Database:
    """An engine and its two kinds of transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{WRITE: True})
        # SQLite's readers have one view anyway.
        is_sqlite = engine.dialect.name == "sqlite"
        self._reader = engine if is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def reading(self, kind: type[Session] = Session, info: dict[str, Any] | None = None) -> Iterator[Session]:
        """Open a session that only reads: one consistent view, nothing is committed. ``info`` is kept in it."""
        with kind(self._reader, expire_on_commit=False, info=info) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session in one transaction: committed at the end of the block, rolled back on any exception."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def check(self) -> None:
        """Prove that the database answers. Raises sqlalchemy.exc.SQLAlchemyError if it does not."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()
