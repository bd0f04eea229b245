"""The ground under an instrument: quiet noise, and a recorded earthquake on request."""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib import resources

RECORDING = "ridgecrest-2019-CI.CCC.csv"
NOISE_G = 0.0004
Acceleration = tuple[float, float, float]
"""East, north, up, in g."""


def load_recording(name: str = RECORDING) -> tuple[Acceleration, ...]:
    """Read a recording: micro-g per line and channel, lines with '#' are its source."""
    text = resources.files("lab.recordings").joinpath(name).read_text("utf-8")
    rows = (line.split(",") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((int(east) / 1e6, int(north) / 1e6, int(up) / 1e6) for east, north, up in rows)


class Ground:
    """Moves a sample at a time. The noise is the same in every run."""

    def __init__(self, recording: Sequence[Acceleration] = ()) -> None:
        self._recording = recording
        self._position: int | None = None
        self._random = random.Random("quiet ground")

    def strike(self) -> None:
        """Let the earthquake arrive, from its first sample."""
        self._position = 0

    @property
    def is_struck(self) -> bool:
        """Whether the earthquake goes on with the next sample."""
        return self._position is not None and self._position < len(self._recording)

    def move(self) -> Acceleration:
        """Give the next acceleration, without gravity."""
        if self._position is None or not self.is_struck:
            return self.noise(NOISE_G), self.noise(NOISE_G), self.noise(NOISE_G)
        self._position += 1
        return self._recording[self._position - 1]

    def noise(self, rms: float) -> float:
        """Give normal noise, in the unit of its root mean square."""
        return self._random.gauss(0.0, rms)
