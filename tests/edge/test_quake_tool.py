"""``fengsui-edge quake``: the one line it prints, and what it refuses."""

from __future__ import annotations

import json

import obspy
import pytest

from edge import cli
from tests.seismic.records import KNET, RIDGECREST


def line(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, float | None]:
    assert cli.main(["quake", *map(str, words)]) == 0
    (found,) = capsys.readouterr().out.splitlines()
    return json.loads(found)


def test_ridgecrest_is_one_line_of_json_with_the_reference_values(capsys) -> None:
    found = line(capsys, RIDGECREST)
    assert list(found)[:5] == ["pga_gal", "pgv_cm_s", "pgd_cm", "intensity_gb", "intensity_jma"]
    assert found["pga_gal"] == pytest.approx(509.8, rel=0.001)
    assert found["intensity_gb"] == pytest.approx(9.61, abs=0.01)
    assert found["intensity_jma"] == pytest.approx(5.775, abs=0.01)
    assert 22.40 <= found["triggered_at"] <= 22.75
    assert found["duration_s"] > 60


def test_files_of_one_station_are_measured_together(capsys) -> None:
    one, three = line(capsys, KNET), line(capsys, KNET, KNET, KNET)
    assert three["pga_gal"] == pytest.approx(one["pga_gal"] * 3**0.5, rel=1e-4)


def test_a_geophones_miniseed_never_triggers(capsys, tmp_path) -> None:
    file = tmp_path / "rjob.mseed"
    obspy.read().write(str(file), format="MSEED")
    found = line(capsys, file, "--gain", "2.5168e9", "--velocity")
    assert found["triggered_at"] is None
    assert found["duration_s"] == 0
    assert found["pga_gal"] < 0.1


@pytest.mark.parametrize("floor", ["nan", "0", "-1", "inf"])
def test_a_floor_that_would_never_or_always_trigger_is_refused(capsys, floor: str) -> None:
    assert cli.main(["quake", str(RIDGECREST), f"--floor-gal={floor}"]) == 1
    assert "--floor-gal" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_refused_with_a_hint(capsys, tmp_path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    for file in (tmp_path / "photo.jpg", tmp_path / "missing", tmp_path):
        assert cli.main(["quake", str(file)]) == 1
        assert capsys.readouterr().err.count("\n") == 2
