"""Filters against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, freqz_sos, sosfilt

from seismic.errors import SeismicError
from seismic.filters import Cascade, butterworth, response

WORDS = {"low": "lowpass", "high": "highpass", "band": "bandpass"}


@pytest.mark.parametrize(
    ("order", "kind", "corners"),
    [
        (2, "band", (0.1, 10)),
        (3, "band", (1, 5)),
        (2, "high", (0.075,)),
        (1, "high", (1,)),
        (4, "low", (10,)),
        (5, "low", (3,)),
    ],
)
@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0])
def test_a_filter_answers_as_scipys_does(order, kind, corners, rate_hz) -> None:
    ours = butterworth(order, kind, corners, rate_hz)
    reference = butter(order, corners if kind == "band" else corners[0], WORDS[kind], fs=rate_hz, output="sos")
    angles, expected = freqz_sos(reference, np.geomspace(1e-4, 3.1, 200))
    assert np.allclose([response(ours, angle) for angle in angles], expected, atol=1e-8)


def test_a_cascade_filters_as_scipys_does() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    cascade = Cascade(butterworth(2, "band", (0.1, 10), 100.0))
    reference = sosfilt(butter(2, (0.1, 10), "bandpass", fs=100.0, output="sos"), values)
    assert np.allclose([cascade.step(value) for value in values.tolist()], reference, atol=1e-10)


def test_a_settled_cascade_stays_where_it_is() -> None:
    low, high = Cascade(butterworth(4, "low", [5], 100.0)), Cascade(butterworth(2, "high", [0.1], 100.0))
    low.settle(9.8)
    high.settle(9.8)
    for _ in range(500):
        assert low.step(9.8) == pytest.approx(9.8)
        assert high.step(9.8) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "corners"), [("band", (10, 0.1)), ("band", (1,)), ("low", (50,)), ("high", (0,)), ("low", (float("nan"),))]
)
def test_corners_that_make_no_filter_are_refused(kind, corners) -> None:
    with pytest.raises(SeismicError, match="corners"):
        butterworth(2, kind, corners, 100.0)
