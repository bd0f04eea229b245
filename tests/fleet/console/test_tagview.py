from __future__ import annotations

import pytest

from fleet.console.tagview import name_tag
from fleet.overview.figures import Label


@pytest.mark.parametrize(
    ("device", "title", "name"),
    [
        ("T-101", "液位", "T-101 液位"),
        ("GD-04 可燃气", "可燃气", "GD-04 可燃气"),
        ("T-101", "T-101 液位", "T-101 液位"),
        ("T-101", "", "t-101.level"),
        ("", "液位", "液位"),
    ],
)
def test_tag_is_named_by_device_and_title_without_saying_anything_twice(device: str, title: str, name: str) -> None:
    assert name_tag(Label("gw-yufu-0001", "t-101.level", title=title, device=device)) == name
