"""Two levels of a structure, whose samples come each in its own time: put together by when they were taken.

Pure, in constant memory.
"""

from __future__ import annotations

from collections import deque

from seismic.structure import Structure, StructureSettings

WAIT_S = 2.0
"""How long a sample waits for those of the other level."""
APART = 2.0
"""Two samples belong together up to so many sample times apart."""
NS = 1_000_000_000
Sample = tuple[int, float | None]


class Levels:
    """One component of an upper and a lower level. Each sample of the upper one is compared with the newest of the
    lower one that was not taken after it."""

    def __init__(self, rate_hz: float, settings: StructureSettings) -> None:
        most = int(WAIT_S * rate_hz)
        self._structure = Structure(rate_hz, settings)
        self._upper: deque[Sample] = deque(maxlen=most)
        self._lower: deque[Sample] = deque(maxlen=most)
        self._apart_ns = int(APART * NS / rate_hz)

    def take_upper(self, at_ns: int, value: float | None) -> None:
        """Take a sample of the upper level, in m/s2."""
        self._upper.append((at_ns, value))
        self._compare()

    def take_lower(self, at_ns: int, value: float | None) -> None:
        """Take a sample of the lower level, in m/s2."""
        self._lower.append((at_ns, value))
        self._compare()

    def _compare(self) -> None:
        upper, lower = self._upper, self._lower
        while upper and lower and lower[-1][0] >= upper[0][0]:
            at_ns, value = upper.popleft()
            while len(lower) > 1 and lower[1][0] <= at_ns:
                lower.popleft()
            if abs(at_ns - lower[0][0]) <= self._apart_ns:
                self._structure.take(value, lower[0][1])

    def show(self, *, is_quake: bool) -> tuple[float, float | None]:
        """Tell the largest drift in mm, of the quake that runs or else since the last call, and how far the frequency
        is from its reference in per cent, None while that is unknown."""
        structure = self._structure
        drift_mm = structure.peak_drift_mm
        if not is_quake:
            structure.forget_peak()
        return drift_mm, structure.frequency_shift_percent
