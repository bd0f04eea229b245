"""Bring a database to the schema of this release, and tell which one it has."""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("fleet.migrations")))
    return config


def newest() -> str:
    """Return the revision of this release."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "a release holds at least one migration"
    return head


def current(engine: Engine) -> str | None:
    """Return the revision of a database, None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Apply what is missing, all of it or nothing."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
