"""What profiles say of components of ground motion: a station gets back exactly the counts of the digitiser."""

from __future__ import annotations

import random

import pytest

from drivers import bits, profile
from edge.configuration import read_configuration
from edge.mistakes import Mistakes

TAGS = [
    (name, tag)
    for name in profile.installed()
    for group in profile.load(name).group
    for tag in group["tag"]
    if "motion" in tag
]
WITMOTION_SCALE = 16 / 32768


def _ids(value) -> str:
    return value if isinstance(value, str) else value["name"]


@pytest.mark.parametrize(("name", "tag"), TAGS, ids=_ids)
def test_counts_come_back_exactly_from_the_values_of_a_profile(name, tag):
    motion, source = tag["motion"], random.Random(name)
    convert = bits.converter(tag.get("scale", WITMOTION_SCALE))
    ends = motion["clips_at"]
    for count in (0, 1, -1, ends, -ends - 1, *(source.randrange(-ends, ends) for _ in range(2000))):
        value, _ = convert(count)
        assert round(value * motion["sensitivity"]) == count


@pytest.mark.parametrize("name", sorted({name for name, _ in TAGS}))
def test_the_components_of_a_profile_differ(name):
    motions = [tag["motion"] for of, tag in TAGS if of == name]
    assert len({motion["code"] for motion in motions}) == len(motions)
    assert [motion["code"][2] for motion in motions if motion.get("dip", 0) == -90].count("Z") >= 1


def _read(motion: dict) -> list[str]:
    mistakes = Mistakes()
    tag = {"name": "az", "channel": "az", "motion": motion}
    read_configuration(
        {
            "bus": [{"name": "line", "kind": "witmotion", "url": "serial:///dev/ttyS0"}],
            "device": [{"name": "acc", "bus": "line", "group": [{"name": "motion", "tag": [tag]}]}],
        },
        mistakes,
    )
    return [str(mistake) for mistake in mistakes.found]


def test_a_component_is_read_with_its_tag():
    assert _read({"code": "HNZ", "sensitivity": 2048, "dip": -90}) == []


@pytest.mark.parametrize(
    ("motion", "word"),
    [
        ({"code": "up", "sensitivity": 2048}, "code"),
        ({"code": "HNZ", "sensitivity": 0}, "sensitivity"),
        ({"code": "HNZ"}, "sensitivity"),
        ({"code": "HNZ", "sensitivity": 1, "azimuth": 400}, "azimuth"),
        ({"code": "HNZ", "sensitivity": 1, "dips": 400}, "dips"),
    ],
)
def test_a_mistake_in_a_component_is_explained(motion, word):
    (mistake,) = _read(motion)
    assert word in mistake
