"""Tests run on shared machines: what anything takes says nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _counts_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long counting takes decides how often it is done; here it is done after every commit."""
    monkeypatch.setattr("edge.store.MEASURE_QUICK_S", math.inf)
