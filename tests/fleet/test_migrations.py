from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fleet.bootstrap import Services
from fleet.db import Base, load_models
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


def test_upgrade_of_a_current_database_changes_nothing(services: Services) -> None:
    revisions.upgrade(services.database.engine)
    assert revisions.current(services.database.engine) == revisions.newest()


def test_readings_have_no_row_id_on_sqlite(services: Services, database_url: str) -> None:
    if database_url:
        pytest.skip("PostgreSQL has no such thing")
    with services.database.engine.connect() as connection:
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'reading'").scalar_one()
    assert "WITHOUT ROWID" in sql
