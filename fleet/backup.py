"""Back a running fleet up into one file, and make a fleet from such a file.

The file is a compressed tar: the settings and whatever else lies in the data directory (keys, certificates), and the
database as of one moment. SQLite is copied through its own backup call, which makes commits wait meanwhile; gateways
send again what was not acknowledged. PostgreSQL is dumped by its own pg_dump, which makes nobody wait.

A restored fleet is older than its gateways. It knows none of their sessions, so it asks them to say hello, and they
send again what they still hold (docs/operate/losses.md says what happens to the rest).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from fleet.db import Database, build_engine, parse_url
from fleet.errors import SetupError
from fleet.settings import FILE, Settings, load, save
from fleet.waveforms import retention as waveforms
from fleet.waveforms.models import WaveCounter

SQLITE_COPY, POSTGRES_COPY = "database.sqlite", "database.pgdump"
SIDE_FILES = ("-journal", "-wal", "-shm")


def back_up(settings: Settings, target: Path) -> int:
    """Write a backup to a new file and return its octets. Raises SetupError; then there is no file."""
    if target.exists():
        raise SetupError(f"{target} is there already", hint="name a file that does not exist")
    if target.resolve().is_relative_to(settings.data_dir.resolve()):  # each backup would hold all before it
        raise SetupError(f"{target} is within the data directory", hint="name a file outside, best on another disk")
    url = parse_url(settings.database())
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            copy = _copy_database(url, Path(folder))
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as tar:
                    for path in _files(settings.data_dir, url):
                        tar.add(path, arcname=str(path.relative_to(settings.data_dir)))
                    tar.add(copy, arcname=copy.name)
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, target)
    except (OSError, tarfile.TarError) as error:
        unfinished.unlink(missing_ok=True)
        raise SetupError(f"cannot write {target}: {error}", hint="is there room for a copy of the database?") from error
    return target.stat().st_size


def restore(source: Path, data_dir: Path, database_url: str) -> Settings:
    """Make a fleet from a backup, in a directory without one. Raises SetupError.

    ``database_url`` names the PostgreSQL database to fill, "" for the one that the backup's settings name.
    """
    if (data_dir / FILE).exists():
        raise SetupError(f"there is a fleet in {data_dir} already", hint="restore into another directory")
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tarfile.open(source, "r:gz") as tar:
            if FILE not in tar.getnames():
                raise SetupError(f"{source} is no backup of a fleet", hint="name a file that 'backup' wrote")
            _unpack(tar, data_dir)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise SetupError(f"cannot restore {source}: {error}", hint="is it whole?") from error
    settings = load(data_dir, {"database_url": database_url or None})
    save(settings)
    url = parse_url(settings.database())
    kind = SQLITE_COPY if url.get_backend_name() == "sqlite" else POSTGRES_COPY
    copy = data_dir / kind
    if not copy.exists():
        raise SetupError(
            f"{source} holds a database of another kind than {url.get_backend_name()}", hint="name --database"
        )
    if kind == SQLITE_COPY:
        os.replace(copy, _database_file(url))
    else:
        _run(["pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", *_address(url), str(copy)], url)
        copy.unlink()
    _skip_numbers(url)
    return settings


def _skip_numbers(url: URL) -> None:
    """See to it that no number of a waveform that was given out after the backup is given out again."""
    engine = build_engine(url)
    try:
        if sa.inspect(engine).has_table(WaveCounter.__tablename__):  # not in a backup of an older release
            with Database(engine).writing() as session:
                waveforms.skip_numbers(session)
    finally:
        engine.dispose()


def _unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Write the files of a backup, readable by their owner alone. Raises TarError for anything a backup never holds.

    Python before 3.11.4, which Debian 12 has, knows no ``filter`` for this.
    """
    for member in tar:
        target = folder / member.name
        content = tar.extractfile(member) if member.isreg() else None
        if content is None or not target.resolve().is_relative_to(folder.resolve()):
            raise tarfile.TarError(f"'{member.name}' is not a file within it")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, member.mode & 0o700)
        with content, os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file)


def _files(data_dir: Path, url: URL) -> Sequence[Path]:
    """List what belongs to a fleet beside its database."""
    left_out = set()
    if url.get_backend_name() == "sqlite":
        database = _database_file(url)
        left_out = {database, *(database.with_name(database.name + suffix) for suffix in SIDE_FILES)}
    return [path for path in sorted(data_dir.rglob("*")) if path.is_file() and path not in left_out]


def _database_file(url: URL) -> Path:
    assert url.database is not None
    return Path(url.database).resolve()


def _copy_database(url: URL, folder: Path) -> Path:
    if url.get_backend_name() != "sqlite":
        copy = folder / POSTGRES_COPY
        _run(["pg_dump", "--format=custom", f"--file={copy}", *_address(url)], url)
        return copy
    copy = folder / SQLITE_COPY
    database = _database_file(url)
    if not database.exists():
        raise SetupError(f"there is no database {database}", hint="run: fengsui-fleet init")
    try:
        with (
            closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60.0)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            ((verdict,),) = target.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        raise SetupError(f"database {database} cannot be copied: {error}", hint="try again") from error
    if verdict != "ok":
        raise SetupError(f"database {database} is damaged: {verdict}", hint="restore an earlier backup")
    return copy


def _address(url: URL) -> list[str]:
    plain = url.set(drivername="postgresql", password=None)
    return [f"--dbname={plain.render_as_string(hide_password=False)}"]


def _run(command: list[str], url: URL) -> None:
    """Run a program of PostgreSQL; the password goes through the environment, where nobody else can read it."""
    if shutil.which(command[0]) is None:
        raise SetupError(f"{command[0]} is not installed", hint="apt-get install postgresql-client")
    password = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(command, env={**os.environ, **password}, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise SetupError(f"{command[0]} failed: {words}", hint="is the server running, and of the same major version?")
