from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from fleet.bootstrap import Services
from fleet.db import Base, build_engine, load_models
from fleet.migrations import revisions
from tests.fleet.conftest import both_databases


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


def test_migrations_and_models_agree(services: Services) -> None:
    load_models()
    with services.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_last_file_is_what_alembic_brings_a_database_to(services: Services) -> None:
    assert revisions.newest() == ScriptDirectory.from_config(revisions._config()).get_current_head()
    with services.database.engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == revisions.newest()


def test_an_empty_database_has_no_revision() -> None:
    engine = build_engine(sa.make_url("sqlite://"))
    assert revisions.current(engine) is None
    engine.dispose()


def test_upgrade_of_a_current_database_changes_nothing(services: Services) -> None:
    revisions.upgrade(services.database.engine)
    assert revisions.current(services.database.engine) == revisions.newest()


def test_readings_have_no_row_id_on_sqlite(services: Services, database_url: str) -> None:
    if database_url:
        pytest.skip("PostgreSQL has no such thing")
    with services.database.engine.connect() as connection:
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'reading'").scalar_one()
    assert "WITHOUT ROWID" in sql


def test_alarms_of_the_release_before_stay_and_their_numbers_go_on(tmp_path: Path) -> None:
    """SQLite builds the tables anew to loosen them: nothing in them may change."""
    engine = build_engine(sa.make_url(f"sqlite:///{tmp_path / 'fleet.db'}"))
    config = revisions._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0007_notifications")
        columns = "name, token_hash, created_ns, former, title, release, boot, machine, clock_quality, session"
        row = ("gw", "", 0, "[]", "", "", "", "", "", "")
        connection.exec_driver_sql(f"INSERT INTO gateway ({columns}) VALUES ({', '.join('?' * 10)})", row)
        for number in (41, 99):
            add_line(connection, "gw", number)
    revisions.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alarm_event WHERE id = 99")
        add_line(connection, "", None)
        rows = connection.exec_driver_sql("SELECT id, gateway, alarm FROM alarm_event ORDER BY id").all()
    assert [tuple(row) for row in rows] == [(41, "gw", "a:high"), (100, "", "a:high")], "no number is given twice"
    engine.dispose()


def add_line(connection: sa.Connection, gateway: str, number: int | None) -> None:
    columns = "id, gateway, kind, received_ns, record_id, alarm, tag, level, output, state, event, detail"
    values = (number, gateway, "raised", 1, 1, "a:high", "a", "high", "", "", "", "")
    connection.exec_driver_sql(f"INSERT INTO alarm_event ({columns}) VALUES ({', '.join('?' * 12)})", values)
