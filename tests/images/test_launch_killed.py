"""The launcher killed before each of its durable steps: the next start comes back, in one of the two releases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from images.launcher import launch
from tests.images.slots import CONFIRMS, LAUNCHER, LIVES, PATIENCE_S, Yard, until

SHIM = Path(__file__).with_name("killed_at.py").resolve()
MOST_STEPS = 60


def run_killed(yard: Yard, step: int) -> bool:
    """Run a launcher to the end of its trial, or to the step before which it is killed. Says whether it was."""
    command = [sys.executable, "-S", str(SHIM), str(step), *yard.command(launcher=LAUNCHER)[2:]]
    with (yard.folder / "log").open("a") as log:
        launcher = subprocess.Popen(command, stderr=log)
    until(lambda: launcher.poll() is not None or is_over(yard), "an end")
    if launcher.poll() is None:
        launcher.send_signal(signal.SIGTERM)
    return launcher.wait(PATIENCE_S) == -signal.SIGKILL


def is_over(yard: Yard) -> bool:
    files = (yard.folder / name for name in (launch.ORDER, launch.CONFIRM))
    return yard.last is not None and not any(file.exists() for file in files)


@pytest.mark.parametrize(
    ("body", "tries", "outcome"),
    [(CONFIRMS, 2, "confirmed"), ("sys.exit(1)", 1, "rolled-back"), (LIVES, 1, "rolled-back")],
    ids=["confirms", "crashes", "does-not-confirm"],
)
def test_killed_before_every_durable_step_it_comes_back(tmp_path: Path, body: str, tries: int, outcome: str) -> None:
    for step in range(MOST_STEPS):
        yard = Yard(tmp_path / str(step))
        yard.fill("a", "1.0", LIVES)
        yard.order("2.0", yard.fill("b", "2.0", body), tries=tries, confirm_s=0.6 if body is LIVES else 20.0)
        was_killed = run_killed(yard, step)
        count = len(yard.starts)
        with yard.launched():
            until(lambda yard=yard: is_over(yard), f"an end after a kill before step {step}")
            until(lambda yard=yard, count=count: len(yard.starts) > count, "an agent")
            assert yard.last is not None
            assert yard.last[0] == outcome
            good = yard.state()["good"]["slot"]
            assert good == ("b" if outcome == "confirmed" else "a")
            until(lambda yard=yard, good=good: yard.starts[-1] == good, "the good release")
        assert yard.starts.count("b") <= tries + (outcome == "confirmed"), "no more attempts than ordered"
        if not was_killed:
            assert step > 10
            return
    raise AssertionError(f"more than {MOST_STEPS} steps")


def test_a_file_is_replaced_only_when_its_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (steps.append("folder" if is_folder(handle) else "file"), fsync(handle))
    )
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append("replace"), replace(*names)))
    launch.write(tmp_path / "slot.json", {})
    launch.remove(tmp_path / "slot.json")
    assert steps == ["file", "replace", "folder", "folder"]


def is_folder(handle: int) -> bool:
    return Path(f"/proc/self/fd/{handle}").is_dir()
