"""Nobody but its owner reads what a fleet keeps secret, neither on the disk nor in the list of processes."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec

from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.cli import main
from fleet.settings import DATABASE_URL, load
from fleet.supervisor import command, environment


def test_init_closes_the_folder_and_every_file_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert main(["init", "--data", str(folder)]) == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes.pop("data") == 0o700
    assert modes.keys() >= {"fleet.db", "fleet.toml"}
    assert set(modes.values()) == {0o600}


def test_init_again_closes_what_stood_open(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert main(["init", "--data", str(folder)]) == 0
    folder.chmod(0o755)
    (folder / "fleet.db").chmod(0o644)
    assert main(["init", "--data", str(folder)]) == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "fleet.db").stat().st_mode & 0o777 == 0o600


def test_a_child_is_told_only_what_differs_and_the_database_not_on_its_command_line(tmp_path: Path) -> None:
    assert main(["init", "--data", str(tmp_path)]) == 0
    settings = load(tmp_path)
    assert not {"--http", "--mqtt", "--database-url"} & set(command("web", settings))
    secret = "postgresql://fleet:geheim@db.test/fleet"
    changed = msgspec.structs.replace(settings, http="127.0.0.1:9999", database_url=secret)
    words = command("web", changed)
    assert words[-2:] == ["--http", "127.0.0.1:9999"]
    assert "geheim" not in " ".join(words)
    assert environment(changed)[DATABASE_URL] == secret


def test_health_of_a_locked_database_is_told_soon_and_with_the_reason(services: Services) -> None:
    other = sqlite3.connect(services.settings.data_dir / "fleet.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    answer = create_app(services).test_client().get("/healthz")
    assert time.monotonic() - began < 3
    assert answer.status_code == 503
    assert answer.json is not None
    assert "locked" in answer.json["reason"]
    other.execute("ROLLBACK")
    other.close()
