"""The list of streets: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.bootstrap import Services
from fleet.cli import main
from fleet.errors import InvalidError
from fleet.quakes import streets

LAB = Path(__file__).parents[3] / "lab" / "streets-liangjiang.csv"
GOOD = "name,latitude,longitude,population,approximate\n人和街道,29.62,106.535,120000,0\n鱼嘴镇,29.62,106.77,,1\n"


def test_a_list_takes_the_place_of_the_one_before(services: Services) -> None:
    with services.database.writing() as session:
        assert streets.replace_all(session, "name,latitude,longitude\n旧街,29,106\n") == 1
        assert streets.replace_all(session, "\ufeff" + GOOD) == 2
    with services.database.reading() as session:
        found = streets.list_places(session)
    assert [(one.name, one.population, one.is_approximate) for one in found] == [
        ("人和街道", 120_000, False),
        ("鱼嘴镇", None, True),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no column name"),
        ("name,latitude\n", "there is no column longitude"),
        ("name,latitude,longitude,colour\n", "unknown column 'colour'"),
        ("name,latitude,longitude\n甲,91,106\n", "line 2: '91', '106' is no position"),
        ("name,latitude,longitude\n甲,nan,106\n", "is no position"),
        ("name,latitude,longitude\n甲,二十九,106\n", "is no position"),
        ("name,latitude,longitude\n甲,29,106\n甲,29,106\n", "line 3: '甲' stands there twice"),
        ("name,latitude,longitude\n,29,106\n", "has a name"),
        ("name,latitude,longitude\n甲,29\n", "not as many fields"),
        ("name,latitude,longitude,population\n甲,29,106,many\n", "'many' is no population"),
        ("name,latitude,longitude,approximate\n甲,29,106,perhaps\n", "approximate is 1 or 0, not 'perhaps'"),
        ('name,latitude,longitude\n"甲,29,106\n', "not CSV"),
    ],
)
def test_a_list_with_a_mistake_changes_nothing(services: Services, text: str, said: str) -> None:
    with services.database.writing() as session:
        streets.replace_all(session, GOOD)
    with services.database.writing() as session, pytest.raises(InvalidError, match=said):
        streets.replace_all(session, text)
    with services.database.reading() as session:
        assert len(streets.list_places(session)) == 2


def test_the_labs_list_is_usable_and_claims_no_exact_position(services: Services) -> None:
    with services.database.writing() as session:
        assert streets.replace_all(session, LAB.read_text("utf-8")) > 5
    with services.database.reading() as session:
        assert all(one.is_approximate and one.population is None for one in streets.list_places(session))


def test_the_command_line_takes_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--data", str(tmp_path / "fleet")]) == 0
    assert main(["streets", "import", "--data", str(tmp_path / "fleet"), str(LAB)]) == 0
    assert "streets of the district: 14" in capsys.readouterr().out
    assert main(["streets", "import", "--data", str(tmp_path / "fleet"), str(tmp_path / "none.csv")]) == 1
    assert "save it as CSV in UTF-8" in capsys.readouterr().err
