"""Bring a database to the schema of this release, and tell which one it has."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Engine

if TYPE_CHECKING:
    from alembic.config import Config

VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))

# Every command asks for both revisions: neither waits for Alembic, which only `upgrade` needs.


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files("fleet.migrations")))
    return config


def newest() -> str:
    """Return the revision of this release: each is the name of its file, and begins with its number."""
    names = (file.name for file in resources.files("fleet.migrations").joinpath("versions").iterdir())
    return max(name.removesuffix(".py") for name in names if name[0].isdigit() and name.endswith(".py"))


def current(engine: Engine) -> str | None:
    """Return the revision of a database, None for an empty one."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION.name):
            return None
        return connection.scalar(sa.select(VERSION.c.version_num))


def upgrade(engine: Engine) -> None:
    """Apply what is missing, all of it or nothing."""
    from alembic import command

    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
