"""The Debian package: what it installs, that it is the same each time, and that systemd understands its unit."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from edge.cli import main
from images.bundle.deb import FILES, package

IMAGES = Path(__file__).parents[2] / "images"
UNIT = IMAGES / "systemd/fengsui-edge.service"
WHEN_S = 1_800_000_000

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is missing: apt-get install dpkg")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: apt-get install systemd"
)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def make(folder: Path, umask: int = 0o022) -> Path:
    before = os.umask(umask)
    try:
        (folder / "tree/fengsui-edge").mkdir(parents=True)
        (folder / "tree/fengsui-edge/fengsui-edge").write_text("#!/bin/sh\necho agent $*\n")
        (folder / "tree/fengsui-edge/fengsui-edge").chmod(0o755)
        (folder / "tree/release.json").write_text('{"version": "1.2.3"}')
        (folder / "dist").mkdir()
        return package(IMAGES, folder / "tree", folder, folder / "dist", "1.2.3", WHEN_S)
    finally:
        os.umask(before)


@needs_dpkg
def test_built_by_others_elsewhere_it_is_the_same_file(tmp_path: Path) -> None:
    assert make(tmp_path / "one").read_bytes() == make(tmp_path / "other", umask=0o077).read_bytes()


@needs_dpkg
def test_it_installs_launcher_unit_user_rules_and_a_first_release(tmp_path: Path) -> None:
    file = make(tmp_path)
    listed = run("dpkg-deb", "-c", str(file))
    for _, target, mode in FILES:
        if not target.startswith("DEBIAN/"):
            line = next(line for line in listed.splitlines() if line.endswith(f" ./{target}"))
            assert line.startswith("-rwxr-xr-x root/root" if mode == 0o755 else "-rw-r--r-- root/root")
    assert "./usr/lib/fengsui/release/fengsui-edge/fengsui-edge" in listed
    assert run("dpkg-deb", "-f", str(file), "Package", "Version") == "Package: fengsui-edge\nVersion: 1.2.3\n"


@needs_dpkg
def test_its_scripts_are_scripts(tmp_path: Path) -> None:
    run("dpkg-deb", "-e", str(make(tmp_path)), str(tmp_path / "control"))
    for name in ("postinst", "prerm", "postrm"):
        run("sh", "-n", str(tmp_path / "control" / name))


@needs_systemd
def test_systemd_understands_the_unit_and_finds_it_shut() -> None:
    told = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT))


def test_the_example_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = shutil.copy(IMAGES / "debian/gateway.toml", tmp_path)
    assert main(["check", str(example)]) == 0
    assert tomllib.loads(Path(example).read_text())["gateway"]["id"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "slot"), [('{"good": {"slot": "b"}}', "b"), ("{", "a"), ("", "a"), ("[]", "a"), (None, "a")]
)
def test_the_command_runs_the_release_that_is_good(tmp_path: Path, state: str | None, slot: str) -> None:
    for name in ("a", "b"):
        program = tmp_path / name / "fengsui-edge/fengsui-edge"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho {name} $*\n")
        program.chmod(0o755)
    if state is not None:
        (tmp_path / "slot.json").write_text(state)
    script = (IMAGES / "debian/fengsui-edge").read_text().replace("/var/lib/fengsui/release", str(tmp_path))
    assert run("sh", "-c", script, "fengsui-edge", "check", "it") == f"{slot} check it\n"
