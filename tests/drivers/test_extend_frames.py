"""docs/extend/frames.md: what the page shows works when it is copied from there, and it leaves nothing out."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from drivers.framing.model import Binary, Check, Field, Kind, NumberType, Text
from drivers.replay import Replay, Step, parse_capture
from edge.configuration import read_configuration
from edge.mistakes import Mistakes

PAGE = (Path(__file__).parent.parent.parent / "docs" / "extend" / "frames.md").read_text("utf-8")
CASES = Path(__file__).parent.parent / "cases" / "frames"
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("example", "case", "value"), [(0, "basic_text", 2.74), (1, "basic_octets", 1.0)], ids=["text", "octets"]
)
async def test_example_reads_a_captured_frame(example, case, value):
    mistakes = Mistakes()
    configuration = read_configuration(tomllib.loads(EXAMPLES[example]), mistakes)
    assert mistakes.found == []
    (bus,) = configuration.buses
    steps = [step.data for step in parse_capture((CASES / case / "line.txt").read_text("utf-8"))]
    groups = [scan_group.group for scan_group in bus.groups]
    driver = bus.kind.build(bus.settings, groups, line=Replay((Step(False, b"".join(steps)),)))
    await driver.open()
    scan = await anext(driver.scans())
    assert (scan.values, scan.quality) == ((value,), (0,))
    await driver.close()


@pytest.mark.parametrize("model", [Text, Binary, Check, Field], ids=lambda model: model.__name__)
def test_every_key_is_on_the_page(model):
    missing = [name for name in model.__struct_fields__ if not re.search(rf"`{name}`|\b{name} =|[{{,] {name}\b", PAGE)]
    assert missing == []


def test_every_checksum_and_number_type_is_on_the_page():
    words = set(re.split(r"[^a-z0-9-]+", PAGE))
    assert {*get_args(Kind), *get_args(NumberType)} <= words
