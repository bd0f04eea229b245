"""The command line as a program: founding a fleet, mistakes, and the whole tree of processes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleet.cli import main
from tests.servers import free_port

BROKEN = "fengsui-fleet: "


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("founded") / "data"
    assert main(["init", "--data", str(folder)]) == 0
    return folder


@pytest.fixture
def data(tmp_path: Path, founded: Path) -> Path:
    return Path(shutil.copytree(founded, tmp_path / "data"))


def test_init_prints_the_first_password_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "init", "--data", str(tmp_path / "data"), "--user", "chief")
    assert status == 0
    assert re.search(r"sign in as chief with the password \S{16} ", out)
    status, out, _ = run(capsys, "init", "--data", str(tmp_path / "data"))
    assert status == 0
    assert "password" not in out
    assert (tmp_path / "data" / "fleet.toml").stat().st_mode & 0o077 == 0


def test_a_token_is_printed_last_or_written_to_a_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "site", "add", "yufu-chem", "--title", "鱼复化工", "--data", str(data))[0] == 0
    _, out, _ = run(capsys, "gateway", "add", "gw-yufu-0001", "--site", "yufu-chem", "--data", str(data))
    assert len(out.split()[-1]) == 43
    file = data / "token"
    words = ["gateway", "add", "gw-yufu-0002", "--token-file", str(file), "--data", str(data)]
    assert run(capsys, *words)[0] == 0
    assert file.stat().st_mode & 0o077 == 0
    assert len(file.read_text().strip()) == 43


def test_a_destination_is_added_disabled_and_enabled(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = ["--url", "http://x/records", "--counts-url", "http://x/counts"]
    assert run(capsys, "destination", "add", "district", *address, "--data", str(data))[0] == 0
    for action, is_enabled in (("disable", 0), ("enable", 1)):
        status, out, _ = run(capsys, "destination", action, "district", "--data", str(data))
        assert (status, out) == (0, f"destination district is {action}d\n")
        with closing(sqlite3.connect(data / "fleet.db")) as database:
            rows = database.execute("SELECT enabled, counts_url FROM destination").fetchall()
        assert rows == [(is_enabled, "http://x/counts")]


def test_one_turn_of_upkeep_says_what_went(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(data / "fleet.db")) as database:
        database.execute(
            "INSERT INTO quarantine VALUES (1, 'gw-yufu-0001', 'batch', NULL, NULL, NULL, 'old', x'00', 0)"
        )
        database.commit()
    assert run(capsys, "upkeep", "--once", "--data", str(data))[:2] == (0, "rows that went: 1\n")
    assert run(capsys, "upkeep", "--once", "--data", str(data))[:2] == (0, "rows that went: 0\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gateway", "add", "GW", "--data", "{data}"], "'GW' is not a gateway name"),
        (["gateway", "add", "gw-yufu-0001", "--site", "none", "--data", "{data}"], "there is no site 'none'"),
        (["site", "add", "x y", "--data", "{data}"], "'x y' is not a site key"),
        (["destination", "add", "d", "--url", "ftp://x", "--data", "{data}"], "'ftp://x' is not an address"),
        (["destination", "add", "d", "--url", "", "--data", "{data}"], "'' is not an address"),
        (
            ["destination", "add", "d", "--url", "http://x", "--counts-url", "x", "--data", "{data}"],
            "'x' is not an address",
        ),
        (["destination", "disable", "d", "--data", "{data}"], "there is no destination 'd'"),
        (["account", "add", "admin", "--data", "{data}"], "there is an account 'admin' already"),
        (["serve", "--data", "{data}/none"], "there is no fleet in"),
        (["serve", "--data", "{data}", "--http", "nowhere"], "http: 'nowhere' is not host:port"),
        (["serve", "--data", "{data}", "--broker-url", "http://x"], "broker URL 'http://x' is not usable"),
        (["init", "--data", "/proc/fleet"], "cannot write to /proc/fleet"),
        (["init", "--data", "{data}2", "--database", "mysql://x/y"], "database 'mysql' is not supported"),
        (["ingest", "--data", "{data}", "--database", "postgresql://127.0.0.1:1/x"], "cannot be used"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_a_hint(
    data: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    capsys.readouterr()
    status, _, err = run(capsys, *(word.replace("{data}", str(data)) for word in words))
    assert status == 1
    assert err.startswith(BROKEN)
    assert said in err.splitlines()[0]
    assert "Traceback" not in err


def test_a_mistake_in_the_settings_names_the_setting(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "fleet.toml").write_text('broker_password = "x"\nsecret_key = "y"\nrelay_batch = "many"\n')
    status, _, err = run(capsys, "relay", "--data", str(data))
    assert status == 1
    assert "relay_batch" in err


def test_a_port_in_use_is_named_before_anything_starts(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, _, err = run(capsys, "serve", "--data", str(data), "--http", address)
    assert status == 1
    assert f"cannot listen at {address}" in err
    assert "--http" in err


class Tree:
    """A running `fengsui-fleet serve`."""

    def __init__(self, data: Path) -> None:
        self.http, self.mqtt, ingest, relay, upkeep = (f"127.0.0.1:{free_port()}" for _ in range(5))
        self.log = data / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "fleet.cli", "serve", "--data", str(data), "--http", self.http,
                    "--mqtt", self.mqtt, "--ingest-metrics", ingest, "--relay-metrics", relay,
                    "--upkeep-metrics", upkeep,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        self.ingest, self.upkeep = f"http://{ingest}/healthz", f"http://{upkeep}/healthz"

    def health(self) -> dict[str, Any] | None:
        """Return what /healthz of web, ingest and upkeep say, None while one of them is away."""
        try:
            states = []
            for url in (f"http://{self.http}/healthz", self.ingest, self.upkeep):
                with urllib.request.urlopen(url, timeout=2) as answer:
                    states.append(json.load(answer))
        except OSError:
            return None
        return {"web": states[0], "ingest": states[1], "upkeep": states[2]}

    def wait_until_well(self) -> None:
        deadline = time.monotonic() + 40
        while self.health() is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def children(self) -> dict[str, int]:
        """Return {program: process id} of its children."""
        found = children_of(self.process.pid)
        # a process that has just ended shows no words
        return {"broker" if "fleet.broker" in words else words[3]: pid for pid, words in found if len(words) > 3}


def children_of(parent: int) -> list[tuple[int, list[str]]]:
    """(process id, command) of each child of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            its_parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if its_parent == parent:
            found.append((int(entry.name), words))
    return found


@contextmanager
def serving(data: Path) -> Iterator[Tree]:
    tree = Tree(data)
    try:
        yield tree
    finally:
        tree.process.terminate()
        try:
            tree.process.wait(timeout=30)
        finally:
            tree.process.kill()


def test_serve_starts_everything_restarts_what_dies_and_ends_in_order(data: Path) -> None:
    with serving(data) as tree:
        tree.wait_until_well()
        before = tree.children()
        assert set(before) == {"broker", "ingest", "relay", "upkeep", "web"}
        os.kill(before["broker"], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while tree.children().get("broker") in (before["broker"], None):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        tree.wait_until_well()
        tree.process.terminate()
        assert tree.process.wait(timeout=30) == 0
        _assert_gone(before.values())
        assert "Traceback" not in tree.log.read_text()


def test_children_end_when_the_parent_is_killed(data: Path) -> None:
    with serving(data) as tree:
        tree.wait_until_well()
        before = tree.children()
        tree.process.kill()
        tree.process.wait()
        _assert_gone(before.values())


def test_the_web_worker_ends_with_its_program_though_somebody_listens(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "correct horse battery"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
    assert main(["user", "add", "li", "--role", "operator", "--password-stdin", "--data", str(data)]) == 0
    with serving(data) as tree:
        tree.wait_until_well()
        web = tree.children()["web"]
        workers = [pid for pid, _ in children_of(web)]
        assert workers
        with httpx.Client(base_url=f"http://{tree.http}") as browser:
            token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/sign-in").text)
            assert token is not None
            form = {"name": "li", "password": password, "csrf_token": token[1]}
            assert browser.post("/sign-in", data=form).is_redirect
            with browser.stream("GET", "/events") as events:
                assert next(events.iter_raw())
                os.kill(web, signal.SIGKILL)
                _assert_gone(workers)


def test_serve_fails_as_a_whole_when_a_child_cannot_start(data: Path) -> None:
    settings = data / "fleet.toml"
    settings.write_text(settings.read_text() + 'broker_url = "mqtt://127.0.0.1:1"\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tree = subprocess.run(
            [
                sys.executable, "-m", "fleet.cli", "serve", "--data", str(data), "--http", f"127.0.0.1:{free_port()}",
                "--ingest-metrics", f"127.0.0.1:{taken.getsockname()[1]}",
                "--relay-metrics", "", "--upkeep-metrics", "",
            ],
            capture_output=True, timeout=60, check=False, text=True,
        )  # fmt: skip
    assert tree.returncode == 1
    assert "cannot listen at" in tree.stderr
    assert "Traceback" not in tree.stderr


def _assert_gone(pids: Any, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    for pid in pids:
        while _lives(pid):
            assert time.monotonic() < deadline, f"process {pid} lives on"
            time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
