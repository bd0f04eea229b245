"""Real records as lists of m/s2, and what may befall them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources, util
from pathlib import Path

from seismic.analyser import Analyser, AnalyserSettings, Component, Report
from seismic.recording import Recording, read_recording

OBSPY = Path(next(iter(util.find_spec("obspy").submodule_search_locations)))
RIDGECREST = Path(str(resources.files("lab.recordings") / "ridgecrest-2019-CI.CCC.csv"))
KNET = OBSPY / "io/nied/tests/data/test.knet"

EAST = Component(name="E", azimuth_deg=90)
NORTH = Component(name="N")
UP = Component(name="Z", dip_deg=-90)
THREE = (EAST, NORTH, UP)

S = 10**9
START_NS = 1_000 * S

Row = list[float | None]


def ridgecrest() -> Recording:
    return read_recording(RIDGECREST.name, RIDGECREST.read_bytes())


def knet() -> Recording:
    return read_recording(KNET.name, KNET.read_bytes())


def rows(recording: Recording) -> list[Row]:
    return [list(values) for values in zip(*recording.values, strict=True)]


QUIET_S = 9.0
"""The first seconds of both records hold noise only."""


def noise(seconds: float, seed: int = 1, rate_hz: float = 100.0, gain: float = 1.0) -> Iterator[Row]:
    """Noise of real quiet windows: pieces of the time before the events, faded into each other, each component its own.

    Ridgecrest before its pre-shocks, about its mean; ``gain`` makes it louder.
    """
    source = random.Random(seed)
    count = round(QUIET_S * 100)
    quiet = [list(column[:count]) for column in ridgecrest().values]
    means = [sum(column) / count for column in quiet]
    columns = [[gain * (value - mean) for value in column] for column, mean in zip(quiet, means, strict=True)]
    pieces = [_pieces(column, source) for column in columns]
    for _ in range(round(seconds * rate_hz)):
        yield [next(piece) + mean for piece, mean in zip(pieces, means, strict=True)]


PIECE, FADE = 300, 50


def _pieces(column: Sequence[float], source: random.Random) -> Iterator[float]:
    tail: Sequence[float] = [0.0] * FADE
    while True:
        begin = source.randrange(len(column) - PIECE)
        piece = column[begin : begin + PIECE]
        sign = source.choice((-1, 1))
        piece = [sign * value for value in (piece if source.random() < 0.5 else piece[::-1])]
        for at, value in enumerate(piece[:-FADE]):
            share = min(1.0, at / FADE)
            faded = value * share**0.5 + (tail[at] * (1 - share) ** 0.5 if at < FADE else 0.0)
            yield faded
        tail = piece[-FADE:]


def fed(
    samples: Iterable[Sequence[float | None]],
    components: Sequence[Component] = THREE,
    rate_hz: float = 100.0,
    settings: AnalyserSettings | None = None,
    times: Sequence[int] | None = None,
) -> list[Report]:
    """Hand samples to an analyser at their times, and finish: all that it reported."""
    analyser = Analyser(rate_hz, components, settings or AnalyserSettings())
    step_ns = round(S / rate_hz)
    found = [
        analyser.take(times[at] if times else START_NS + at * step_ns, values) for at, values in enumerate(samples)
    ]
    found.append(analyser.finish())
    return [report for report in found if report is not None]


def after_s(ns: int) -> float:
    return (ns - START_NS) / S
