"""The single composition root: what web, ingest, relay and the command line share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from fleet.authority import store
from fleet.authority.store import Authority
from fleet.db import Database, build_engine, parse_url
from fleet.errors import SetupError
from fleet.live import Live
from fleet.settings import Settings

Clock = Callable[[], int]
"""UTC in ns since 1970. Injected, so that tests own it."""


@dataclass(frozen=True)
class Services:
    """What the programs work with. ``live`` is filled only in the web program."""

    settings: Settings
    database: Database
    clock: Clock
    live: Live

    @cached_property
    def authority(self) -> Authority:
        """What issues certificates, read when it is first needed. Raises SetupError if there is none."""
        return store.load(self.settings, self.clock())

    def close(self) -> None:
        """Release what is held: waiters first, then connections."""
        self.live.close()
        self.database.close()


def bootstrap(settings: Settings, clock: Clock = time.time_ns) -> Services:
    """Put the services together. Touches neither network nor disk."""
    database = Database(build_engine(parse_url(settings.database())))
    return Services(settings=settings, database=database, clock=clock, live=Live())


def check_database(services: Services) -> None:
    """Prove that the database answers and has our newest schema. Raises SetupError with a hint otherwise."""
    from fleet.migrations.revisions import current, newest

    url = parse_url(services.settings.database())
    shown = url.render_as_string(hide_password=True)
    init = f"run: fengsui-fleet init --data {services.settings.data_dir}"
    if url.database and url.get_backend_name() == "sqlite" and not Path(url.database).exists():
        raise SetupError(f"there is no database {url.database}", hint=init)
    try:
        have = current(services.database.engine)
    except SQLAlchemyError as error:
        raise SetupError(
            f"database {shown} cannot be used: {describe(error)}", hint="is the server running, and may we sign in?"
        ) from error
    if have != newest():
        raise SetupError(f"database {shown} has schema '{have or 'none'}', this release wants '{newest()}'", hint=init)


def describe(error: SQLAlchemyError) -> str:
    """Say in one line what a database error was."""
    return str(error.__cause__ or error).strip().splitlines()[0]
