"""Found a fleet, and add to it: what the command line does besides running programs."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.bootstrap import Services, bootstrap, describe
from fleet.commands.keys import found_key
from fleet.db import parse_url
from fleet.errors import SetupError
from fleet.migrations import revisions
from fleet.settings import FILE, Settings, load, save

PASSWORD_OCTETS = 12


def found(data_dir: Path, database_url: str, admin: str, password: str | None) -> str | None:
    """Make a fleet, or bring an existing one to this release. Returns the administrator's password if we chose it.

    May be repeated: settings and accounts that exist are kept.
    """
    data_dir = data_dir.resolve()
    settings = _settings(data_dir, database_url)
    services = bootstrap(settings)
    try:
        _close_to_others(settings)
        _found_key(settings.data_dir)
        revisions.upgrade(services.database.engine)
        return _first_account(services, admin, password)
    except SQLAlchemyError as error:
        shown = parse_url(settings.database()).render_as_string(hide_password=True)
        raise SetupError(
            f"database {shown} cannot be used: {describe(error)}", hint="is the server running, and may we sign in?"
        ) from error
    finally:
        services.close()


def _settings(data_dir: Path, database_url: str) -> Settings:
    if (data_dir / FILE).exists():
        return load(data_dir, {"database_url": database_url or None})
    if database_url:
        parse_url(database_url)
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = Settings(
            data_dir=data_dir,
            database_url=database_url,
            broker_password=secrets.token_urlsafe(24),
            secret_key=secrets.token_urlsafe(32),
        )
        save(settings)
    except OSError as error:
        raise SetupError(f"cannot write to {data_dir}: {error.strerror}", hint="choose another --data") from error
    return settings


def _close_to_others(settings: Settings) -> None:
    """Let only the owner see the folder and the database: they hold hashes of passwords and tokens."""
    database = parse_url(settings.database())
    try:
        settings.data_dir.chmod(0o700)
        if database.get_backend_name() == "sqlite" and database.database:
            file = Path(database.database)
            file.touch(mode=0o600)  # what SQLite writes beside it takes its mode
            file.chmod(0o600)
    except OSError as error:
        raise SetupError(f"cannot protect {settings.data_dir}: {error.strerror}", hint="who owns it?") from error


def _found_key(data_dir: Path) -> None:
    try:
        found_key(data_dir)
    except OSError as error:
        raise SetupError(f"cannot write to {data_dir}: {error.strerror}", hint="who owns it?") from error


def _first_account(services: Services, admin: str, password: str | None) -> str | None:
    with services.database.writing() as session:
        if not accounts.is_empty(session):
            return None
        chosen = password or secrets.token_urlsafe(PASSWORD_OCTETS)
        accounts.add(session, admin, chosen, Role.ADMINISTRATOR, services.clock())
    return None if password else chosen


def read_secret(path: Path) -> str:
    """Read a password from the first line of a file."""
    try:
        return path.read_text("utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SetupError(f"cannot read a password from {path}: {error}") from error


def write_token(path: Path, token: str) -> None:
    """Write a gateway's token to a new file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}", hint="choose a file that does not exist") from error
