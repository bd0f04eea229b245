"""The analyser of one station: samples in, reports out, in constant memory."""

from __future__ import annotations

from collections.abc import Sequence

from seismic.report import Component, Level, Report
from seismic.settings import AnalyserSettings, TriggerSettings


class Analyser:
    """Judges the motion that one instrument measures, sample by sample.

    Raises SeismicError if the rate or the components are none that can be judged.
    """

    def __init__(self, rate_hz: float, components: Sequence[Component], settings: AnalyserSettings) -> None:
        raise NotImplementedError

    def take(self, at_ns: int, values: Sequence[float | None]) -> Report | None:
        """Take the values of all components at one sample time: m/s2, or m/s of a velocity component; None for none.

        Samples are handed over in their order of time; one that is not later than its predecessor changes nothing.
        """
        raise NotImplementedError

    def tick(self, at_ns: int) -> Report | None:
        """Let time pass without a sample: closes an event whose instrument has fallen silent."""
        raise NotImplementedError

    def finish(self, reason: str = "") -> Report | None:
        """Close the event that runs, if any: the station is taken down, or the recording ends."""
        raise NotImplementedError

    def level(self) -> Level:
        """Tell how things stand at the newest sample."""
        raise NotImplementedError


__all__ = ("Analyser", "AnalyserSettings", "Component", "Level", "Report", "TriggerSettings")
