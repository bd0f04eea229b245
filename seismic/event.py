"""One event at one station, from its onset to its close: what was measured of it, and what of that was told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seismic.channel import Channel
from seismic.intensity import PLACES, Exceedance, Grade, grade_of, intensity_gb, intensity_jma
from seismic.motion import Peaks
from seismic.pwave import FIRST_S, TAU_C_ERROR, PWave
from seismic.report import Report, State
from seismic.settings import AnalyserSettings
from seismic.spectrum import Oscillators
from wire.sample import Quality

GROWN = 1.01
"""What grows slowly (displacement, JMA) is told again when it is 1 % larger; acceleration and velocity always."""

GROWN_JMA = 0.05


LOOK_S = 0.05
"""How often growth is looked for while there is none."""

_WORDS = (
    ("clipped", "clipped", Quality.UNCERTAIN_RANGE),
    ("still", "stood still", Quality.UNCERTAIN_PARTIAL),
    ("missing", "had no values", Quality.UNCERTAIN_PARTIAL),
    ("one-sided", "has an offset", Quality.UNCERTAIN_STEP),
    ("offset", "jumped", Quality.UNCERTAIN_STEP),
    ("spikes", "had spikes", Quality.UNCERTAIN_STEP),
)
"""What can be wrong with a component, in the order of weight."""

_SUSPECT = {"still", "missing", "one-sided"}
"""What makes doubtful that a component has measured the ground at all."""


class Event:
    """Sums up the samples of an event in constant memory. Nothing here depends on how long it lasts."""

    def __init__(
        self, onset_ns: int, began_ns: int, rate_hz: float, channels: Sequence[Channel], settings: AnalyserSettings
    ) -> None:
        self.onset_ns, self._began_ns = onset_ns, began_ns
        self.active_ns = began_ns
        self.trouble: dict[str, Quality] = {}
        """What befell all components, in words, and the quality that follows."""
        self._settings, self._channels = settings, channels
        self._peaks = Peaks()
        self._held = Exceedance(rate_hz)
        self._grade = Grade(settings.grade_deadband)
        self._vertical = next((channel for channel in channels if channel.component.is_vertical), None)
        self._p_wave = PWave(rate_hz, math.sqrt(self._vertical.wander)) if self._vertical else None
        self._horizontals = [channel for channel in channels if not channel.component.is_vertical][:2]
        self._oscillators = Oscillators(rate_hz)
        self._largest = [0.0] * len(channels)
        self._counts = [_counts(channel) for channel in channels]
        self._missed = [False] * len(channels)
        self._told_ns = self._looked_ns = 0
        self._told = (0.0, 0.0, 0.0, 0.0)
        self._due = ["first", "full"] if self._p_wave else []

    def take(self, at_ns: int) -> None:
        """Take what the channels hold at one time."""
        a2 = v2 = d2 = weighted2 = 0.0
        largest = self._largest
        for at, channel in enumerate(self._channels):
            if not channel.is_present:
                self._missed[at] = True
                continue
            high = channel.band.high
            a, v, d, weighted = high.acceleration, high.velocity, high.displacement, channel.weighted
            square = a * a
            a2 += square
            v2 += v * v
            d2 += d * d
            weighted2 += weighted * weighted
            if square > largest[at]:
                largest[at] = square
        self._peaks.take(at_ns, a2, v2, d2)
        self._held.take(1e4 * weighted2)
        self._shake()

    def _shake(self) -> None:
        sides = [channel.broad.acceleration if channel.is_present else 0.0 for channel in self._horizontals]
        if sides:
            self._oscillators.step(sides[0], sides[1] if len(sides) > 1 else 0.0)
        if self._p_wave is not None and self._vertical is not None and self._vertical.is_present:
            self._p_wave.step(self._vertical.broad.velocity, self._vertical.broad.displacement)

    def news(self, at_ns: int) -> State | None:
        """Tell which report is due: the P wave soon and when its window is full, a higher class at once, other growth
        at most every so often."""
        if self._due and self._p_wave is not None:
            is_old = at_ns - self._began_ns >= FIRST_S * 1e9
            if self._p_wave.is_complete if self._due[0] == "full" else is_old:
                self._due.pop(0)
                return "p-wave"
        if self._is_graver():
            return "grown"
        if at_ns - self._told_ns < self._settings.grown_s * 1e9 or at_ns - self._looked_ns < LOOK_S * 1e9:
            return None
        self._looked_ns = at_ns
        return "grown" if self._has_grown() else None

    def _is_graver(self) -> bool:
        """Tell whether the class has risen since the last report: a rule of an alarm may wait for just that."""
        a, v = self._peaks.acceleration, self._peaks.velocity
        if a <= self._told[0] and v <= self._told[1]:
            return False
        return grade_of(intensity_gb(a, v)) > self._grade.now

    def _has_grown(self) -> bool:
        a, v, d, jma = self._told
        peaks = self._peaks
        return (
            peaks.acceleration > a
            or peaks.velocity > v
            or peaks.displacement > d * GROWN
            or intensity_jma(self._held.held_gal) > jma + GROWN_JMA
        )

    def is_doubtful(self) -> bool:
        """Tell whether only components that have failed since have moved, while others that are well have not."""
        suspect = [bool(_SUSPECT & found) for found in self._found()]
        floor = (self._settings.trigger.floor_gal / 100) ** 2
        well = [square for square, is_suspect in zip(self._largest, suspect, strict=True) if not is_suspect]
        return any(suspect) and bool(well) and max(well) < floor

    def _found(self) -> list[set[str]]:
        found = []
        for channel, before, has_missed in zip(self._channels, self._counts, self._missed, strict=True):
            now = _counts(channel)
            words = {word for word, count in now.items() if count > before[word]}
            if has_missed and "still" not in words:
                words.add("missing")
            if channel.is_one_sided:
                words.add("one-sided")
            found.append(words)
        return found

    def report(self, state: State, at_ns: int, reason: str = "") -> Report:
        """Tell what is known."""
        peaks, p_wave = self._peaks, self._p_wave
        a, v, d = peaks.acceleration, peaks.velocity, peaks.displacement
        gb, jma = intensity_gb(a, v), intensity_jma(self._held.held_gal)
        self._told_ns, self._told = at_ns, (a, v, d, jma)
        magnitude = p_wave.magnitude if p_wave else None
        quality, trouble = self._judge()
        return Report(
            state=state,
            onset_at_ns=self.onset_ns,
            peak_at_ns=peaks.at_ns,
            at_ns=at_ns,
            duration_s=max(0, self.active_ns - self.onset_ns) / 1e9,
            pga_gal=100 * a,
            pgv_cm_s=100 * v,
            pgd_cm=100 * d,
            intensity_gb=round(gb, PLACES),
            intensity_jma=round(jma, PLACES),
            grade=self._grade.take(gb),
            quality=quality,
            pd_cm=p_wave.pd_cm if p_wave else None,
            tau_c_s=p_wave.tau_c_s if p_wave else None,
            magnitude=magnitude,
            magnitude_error=TAU_C_ERROR if magnitude is not None else None,
            spectrum=self._oscillators.psa_gal if state == "closed" and self._horizontals else (),
            reason="; ".join([reason, *trouble] if reason else trouble),
        )

    def _judge(self) -> tuple[Quality, list[str]]:
        """The quality by what weighs most, and all that is wrong in words."""
        found = self._found()
        of_components = [
            (quality, f"{channel.component.name} {words}")
            for word, words, quality in _WORDS
            for channel, these in zip(self._channels, found, strict=True)
            if word in these
        ]
        wrong = [*of_components, *((quality, words) for words, quality in self.trouble.items())]
        return (wrong[0][0] if wrong else Quality.GOOD), [words for _, words in wrong]


def _counts(channel: Channel) -> dict[str, int]:
    conditioner = channel.conditioner
    still = channel.frozen + conditioner.is_dead
    return {
        "clipped": conditioner.clipped,
        "still": still,
        "offset": conditioner.offsets,
        "spikes": conditioner.spikes,
    }
