"""Slots with agents that are shell or Python scripts, and a launcher over them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from images.launcher.launch import ORDER, PROGRAM, SLOT, tree_digest

LAUNCHER = Path("images/launcher/launch.py").resolve()
PATIENCE_S = 30.0

WELL = """
import json, os, pathlib, signal, socket, sys, time
slots = pathlib.Path(os.environ["FENGSUI_SLOTS"])
with (slots / "starts").open("a") as file:
    file.write(pathlib.Path(__file__).parent.parent.name + "\\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

def tell(message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaks:
        speaks.sendto(message.encode(), "\\0" + os.environ["NOTIFY_SOCKET"][1:])

def trial():
    try:
        return json.loads((slots / "trial.json").read_text())
    except FileNotFoundError:
        return None

def confirm(nonce):
    (slots / "confirm.part").write_text(json.dumps({"nonce": nonce}))
    os.replace(slots / "confirm.part", slots / "confirm.json")

def live():
    while True:
        tell("WATCHDOG=1")
        time.sleep(0.1)

"""
"""The start of every agent here: it notes that it started, and knows how to live, to tell and to confirm."""
CONFIRMS = "tell('READY=1')\nif trial(): confirm(trial()['nonce'])\nlive()"
LIVES = "live()"


class Yard:
    """A folder of slots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def fill(self, slot: str, version: str, body: str) -> str:
        """Put a release into a slot. Returns the digest of its tree."""
        program = self.folder / slot / PROGRAM
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{sys.executable} -S\n{WELL}{body}\n")
        program.chmod(0o755)
        (self.folder / slot / "release.json").write_text(json.dumps({"kind": "agent", "version": version}))
        return tree_digest(self.folder / slot)

    def order(self, version: str, digest: str, **other: Any) -> dict[str, Any]:
        """Order a trial of slot b."""
        words = {"action": "a-1", "slot": "b", "version": version, "tree_sha256": digest}
        document = words | {"tries": 2, "confirm_s": 20.0, "probe": ""} | other
        (self.folder / ORDER).write_text(json.dumps(document))
        return document

    def state(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads((self.folder / SLOT).read_text())
        except FileNotFoundError:
            return {}
        return document

    @property
    def starts(self) -> list[str]:
        """The slots whose agents started, in order."""
        file = self.folder / "starts"
        return file.read_text().split() if file.exists() else []

    @property
    def last(self) -> tuple[str, str] | None:
        """How the last order ended, and why."""
        last = self.state().get("last")
        return (last["outcome"], last["reason"]) if last else None

    def command(self, *options: str, launcher: Path = LAUNCHER) -> list[str]:
        options = ("--pause-s", "0.1", *options)
        return [sys.executable, "-S", str(launcher), "--slots", str(self.folder), *options, "--", "run"]

    @contextmanager
    def launched(self, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A launcher that runs; ended by SIGTERM."""
        surroundings = os.environ | environment
        log = self.folder / "log"
        with log.open("a") as stderr:
            launcher = subprocess.Popen(self.command(*options), env=surroundings, stderr=stderr, text=True)
        try:
            yield launcher
        finally:
            launcher.send_signal(signal.SIGTERM)
            try:
                launcher.wait(PATIENCE_S)
            finally:
                launcher.kill()

    def log(self) -> str:
        return (self.folder / "log").read_text()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is so."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"never came: {what}")
