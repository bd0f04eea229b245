"""What PyInstaller makes of the agent runs without any of this environment: nothing that it needs is left behind."""

from __future__ import annotations

import json
import subprocess
from array import array
from pathlib import Path

import pytest
from PyInstaller.depend import bindepend

from images.bundle.build import freeze, stage
from images.launcher.launch import PROGRAM
from seismic import miniseed
from seismic.packet import Packet
from tests.edge.stations.site import SHAKE_CONFIG

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "lab/recordings/ridgecrest-2019-CI.CCC.csv"


def _has_library() -> bool:
    """Whether there is a libpython to put into the bundle: on Debian it is a package of its own."""
    try:
        return bool(bindepend.get_python_library_path())
    except bindepend.PythonLibraryNotFoundError:
        return False


@pytest.mark.timeout(300)
@pytest.mark.skipif(not _has_library(), reason="libpython3.11 is missing")
def test_frozen_agent_knows_its_instruments_reads_a_configuration_and_measures_a_recording(tmp_path: Path) -> None:
    release = {"kind": "agent", "version": "1.2.3", "hardware": ["any"], "commit": "0123abc", "built": ""}
    stage(freeze(ROOT, tmp_path, 1_800_000_000), tmp_path / "a", release)
    program = tmp_path / "a" / PROGRAM

    def ask(*words: str) -> str:
        return subprocess.run(
            [program, *words], cwd=tmp_path, env={}, text=True, capture_output=True, check=True
        ).stdout

    assert "1.2.3" in ask("--version")
    profiles = {path.stem for path in (ROOT / "drivers/profiles").glob("*.toml")}
    known = ask("profile", "list")
    assert not [name for name in profiles if name not in known]
    (tmp_path / "gateway.toml").write_text(SHAKE_CONFIG.format(mqtt=1883, shake=8888))
    ask("check", str(tmp_path / "gateway.toml"))
    assert json.loads(ask("quake", str(RECORDING)))["pga_gal"] == pytest.approx(509.8, rel=0.015)
    (tmp_path / "ridgecrest.mseed").write_bytes(_write_miniseed())
    measured = json.loads(ask("quake", "--gain", str(1e6 / 9.80665), str(tmp_path / "ridgecrest.mseed")))
    assert measured["pga_gal"] == pytest.approx(509.8, rel=0.015)


def _write_miniseed() -> bytes:
    rows = [map(int, line.split(",")) for line in RECORDING.read_text("ascii").splitlines() if line[0] != "#"]
    columns = zip(("CI.CCC..HNE", "CI.CCC..HNN", "CI.CCC..HNZ"), zip(*rows, strict=True), strict=True)
    packets = [Packet(stream, 10**18, 0, 100.0, array("i", counts), 100, 0) for stream, counts in columns]
    return miniseed.write(packets, 2)
