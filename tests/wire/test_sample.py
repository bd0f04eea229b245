from __future__ import annotations

import pytest

from wire.sample import Quality, is_bad, is_good, quality_class


@pytest.mark.parametrize("octet", range(256))
def test_every_octet_has_exactly_one_class(octet) -> None:
    name = "good" if octet < 64 else "uncertain" if octet < 128 else "bad"
    assert quality_class(octet) == name
    assert is_good(octet) == (name == "good")
    assert is_bad(octet) == (name == "bad")


@pytest.mark.parametrize("quality", Quality)
def test_class_of_a_known_reason_is_in_its_name(quality) -> None:
    assert quality_class(quality) == quality.name.split("_")[0].lower()
