"""docs/extend: what the pages show works when it is copied from there."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import drivers
from drivers import profile
from drivers.base import find, kinds
from edge.configuration import read_configuration
from edge.mistakes import Mistakes
from tests.drivers.cases import Bench, load
from tests.drivers.conformance import CHECKS

DOCS = Path(__file__).parent.parent.parent / "docs" / "extend"
KIND = "thermometer"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """Put the page's driver where drivers are found, and its capture where cases are; return the case's folder."""
    (module,) = blocks("driver.md", "python")
    package = tmp_path / "drivers"
    package.mkdir()
    (package / f"{KIND}.py").write_text(module, "utf-8")
    case = tmp_path / "cases" / KIND / "basic"
    case.mkdir(parents=True)
    (case / "line.txt").write_text(blocks("driver.md", "text")[0], "utf-8")
    (case / "case.toml").write_text(blocks("driver.md", "toml")[0], "utf-8")
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(package)])
    yield case
    sys.modules.pop(f"drivers.{KIND}", None)
    vars(drivers).pop(KIND, None)


def test_example_driver_has_under_fifty_lines():
    (module,) = blocks("driver.md", "python")
    assert len(module.splitlines()) < 50


@pytest.mark.usefixtures("installed")
def test_example_driver_is_found_by_its_name_alone():
    assert KIND in kinds()
    assert find(KIND).kind == KIND
    assert not find(KIND).writable


async def test_example_driver_reads_a_scan(installed):
    bench = Bench(load(installed))
    await bench.driver.open()
    (scan,) = await bench.scans()
    await bench.driver.close()
    assert (scan.group, scan.values, scan.quality) == ("store.climate", (21.5, 48.0), (0, 0))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_example_driver_passes_the_suite(installed, check):
    await check(load(installed))


@pytest.mark.usefixtures("installed")
def test_example_configuration_is_accepted():
    mistakes = Mistakes()
    configuration = read_configuration(tomllib.loads(blocks("driver.md", "toml")[1]), mistakes)
    assert mistakes.found == []
    assert [tag.name for tag in configuration.tags] == ["store.temperature"]


def test_example_profile_is_accepted():
    text, _ = blocks("profile.md", "toml")
    one = profile.parse(text, "example_g1")
    assert [tag["name"] for group in one.group for tag in group["tag"]] == ["gas"]
    document = {
        "bus": [{"name": "line", "kind": one.kind, "url": "rtu:///dev/ttyS0"}],
        "device": [{"name": "d", "bus": "line", **one.device, "group": one.group}],
    }
    mistakes = Mistakes()
    read_configuration(document, mistakes)
    assert mistakes.found == []
