"""The analyser of one station: samples in, reports out, in constant memory.

    values -> conditioned -> less the baseline -> 0.1 to 10 Hz -> STA/LTA -> an event begins
                                               `-> the event sums up: peaks, JMA, P wave, spectrum -> reports

It is pure: time is what the samples say. Nothing is kept of a sample but the state of filters and sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from seismic.channel import Channel
from seismic.errors import SeismicError
from seismic.event import Event
from seismic.intensity import jma_sections
from seismic.report import Component, Level, Report
from seismic.settings import AnalyserSettings, TriggerSettings
from seismic.trigger import Trigger
from wire.sample import Quality

RATE_LEAST_HZ, RATE_MOST_HZ = 40.0, 1000.0
"""The least is twice the upper corner of the band of 0.1 to 10 Hz, and as much again for the filter's edge."""
COMPONENTS_MOST = 3

GAP_SAMPLES, GAP_LEAST_S = 4, 0.1
"""Steps in time up to the larger of these are taken for one sample's: times jitter."""

SET_BACK_S, REPEATED_S = 3.0, 10.0
"""Samples that follow each other for so long, all older than what is known by more than that: the clock was set. What
is not so old is sent again, and soon there are news."""

LONG_GAP_S = 60.0
"""Behind such a gap the instrument may be another one: the baseline is made anew."""

SHARE = 0.1
"""A component tells whether the ground moves if it has so much of the energy of all."""

LOOK_S = 0.25
"""How often an event is asked whether it still is one."""

PICK_S = 3.0
"""How far before the trigger an onset may lie."""


class Analyser:
    """Judges the motion that one instrument measures, sample by sample.

    Nothing triggers in the first seconds (twice ``settle_s``) or after a gap that is not bridged. Raises SeismicError
    if the rate or the components are none that can be judged.
    """

    def __init__(self, rate_hz: float, components: Sequence[Component], settings: AnalyserSettings) -> None:
        if not RATE_LEAST_HZ <= rate_hz <= RATE_MOST_HZ:
            raise SeismicError(
                f"{rate_hz:g} samples/s cannot be judged",
                hint=f"sample at {RATE_LEAST_HZ:g} to {RATE_MOST_HZ:g} a second, better 100 or 200",
            )
        if not 1 <= len(components) <= COMPONENTS_MOST:
            raise SeismicError(f"an instrument has 1 to {COMPONENTS_MOST} components, not {len(components)}")
        self._rate_hz, self._settings = rate_hz, settings
        sections = jma_sections(rate_hz)
        self._channels = [Channel(component, settings, rate_hz, sections) for component in components]
        self._trigger = Trigger(settings.trigger)
        self._own_ratio = settings.trigger.on_ratio / 2
        self._gap_ns = round(max(GAP_SAMPLES / rate_hz, GAP_LEAST_S) * 1e9)
        self._bridge_ns = max(self._gap_ns, round(settings.bridge_s * 1e9))
        self._close_ns, self._longest_ns = round(settings.close_s * 1e9), round(settings.longest_s * 1e9)
        self._set_back_n = round(SET_BACK_S * rate_hz)
        self._restart()

    def _restart(self) -> None:
        """Know of no sample and no event."""
        self._trigger.reset()
        self._event: Event | None = None
        self._newest_ns: int | None = None
        self._times = (0, 0)
        self._late_n, self._latest_late_ns = 0, 0
        self._looked_ns = 0

    def take(self, at_ns: int, values: Sequence[float | None]) -> Report | None:
        """Take the values of all components at one sample time: m/s2, or m/s of a velocity component; None for none.

        Samples are handed over in their order of time; one that is not later than its predecessor changes nothing.
        Raises SeismicError if there are not as many values as components.
        """
        if len(values) != len(self._channels):
            raise SeismicError(f"{len(values)} values for {len(self._channels)} components")
        last_ns, ended = self._newest_ns, None
        if last_ns is not None:
            if at_ns <= last_ns:
                return self._take_late(at_ns)
            if at_ns - last_ns > self._gap_ns:
                ended = self._cross_gap(last_ns, at_ns)
        self._late_n = 0
        self._newest_ns = at_ns
        due_ns, before_ns = self._times
        self._times = (before_ns, at_ns)
        is_learning = self._event is None
        is_quiet = is_learning and self._trigger.onset_ns is None
        for channel, value in zip(self._channels, values, strict=True):
            channel.step(value, is_learning, is_quiet)
        if due_ns == 0:  # the values that come out are those of two samples ago
            return ended
        found = self._judge(due_ns, at_ns)
        return ended or found

    def _judge(self, due_ns: int, at_ns: int) -> Report | None:
        short = long = 0.0
        for channel in self._channels:
            if channel.is_present:
                short += channel.averages.short
                long += channel.averages.long
        trigger = self._trigger
        was_quiet = trigger.onset_ns is None
        has_triggered = trigger.take(due_ns, short, long)
        if self._event is not None:
            return self._follow(self._event, due_ns, at_ns)
        if was_quiet and trigger.onset_ns is not None:
            for channel in self._channels:
                channel.watch_swing()
        if has_triggered and self._moves():
            return self._begin(due_ns, at_ns)
        return None

    def _moves(self) -> bool:
        """Tell whether a component whose energy has risen has gone both ways: an offset that came never does."""
        share = SHARE * self._trigger.short
        return any(
            channel.is_present
            and channel.averages.short > max(share, self._own_ratio * channel.averages.long)
            and channel.swings
            for channel in self._channels
        )

    def _begin(self, due_ns: int, at_ns: int) -> Report:
        onset_ns = max(self._trigger.onset_ns or due_ns, due_ns - round(PICK_S * 1e9))
        event = self._event = Event(onset_ns, due_ns, self._rate_hz, self._channels, self._settings)
        self._looked_ns = at_ns
        event.take(due_ns)
        return event.report("onset", at_ns)

    def _follow(self, event: Event, due_ns: int, at_ns: int) -> Report | None:
        event.take(due_ns)
        if not self._trigger.is_over:
            event.active_ns = due_ns
        if at_ns - self._looked_ns >= LOOK_S * 1e9:
            self._looked_ns = at_ns
            if event.is_doubtful():
                return self._end(event, "rejected", "only components moved that have failed")
        if due_ns - event.active_ns >= self._close_ns:
            return self._end(event, "closed", "")
        if due_ns - event.onset_ns >= self._longest_ns:
            for channel in self._channels:
                channel.averages.accept()
            return self._end(event, "closed", f"still moving after {self._settings.longest_s:g} s")
        state = event.news(at_ns)
        return event.report(state, at_ns) if state else None

    def _end(self, event: Event, state: Literal["closed", "rejected"], reason: str) -> Report:
        self._event = None
        self._trigger.reset()
        return event.report(state, self._newest_ns or event.active_ns, reason)

    def _take_late(self, at_ns: int) -> Report | None:
        """Drop a sample that is no news, unless so many follow each other that the clock must have been set back."""
        if self._event is not None:
            self._event.trouble["samples came twice or late"] = Quality.UNCERTAIN_STATUS
        self._late_n = self._late_n + 1 if at_ns > self._latest_late_ns else 1
        self._latest_late_ns = at_ns
        is_old = (self._newest_ns or 0) - at_ns > REPEATED_S * 1e9
        return self._break_off("the clock was set back") if is_old and self._late_n >= self._set_back_n else None

    def _cross_gap(self, last_ns: int, at_ns: int) -> Report | None:
        """Go on behind a short gap as if it were none; begin anew behind a long one, or where the clock has jumped."""
        gap_s = (at_ns - last_ns) / 1e9
        if at_ns - last_ns > self._bridge_ns:
            return self._break_off(f"no samples for {gap_s:.1f} s", is_long=gap_s > LONG_GAP_S)
        if self._event is not None:
            self._event.trouble["samples are missing"] = Quality.UNCERTAIN_PARTIAL
        return None

    def _break_off(self, reason: str, is_long: bool = True) -> Report | None:
        """End what runs. In the middle of an event the filters stay as they are: they would settle on its motion."""
        is_quiet = self._event is None
        ended = self.finish(reason)
        if is_quiet and is_long:
            for channel in self._channels:
                channel.reset()
        for channel in self._channels:
            channel.averages.calm()
        self._restart()
        return ended

    def tick(self, at_ns: int) -> Report | None:
        """Let time pass without a sample: closes an event whose instrument has fallen silent."""
        if self._event is None or self._newest_ns is None or at_ns - self._newest_ns <= self._bridge_ns:
            return None
        ended = self.finish("the instrument fell silent")
        for channel in self._channels:
            channel.averages.calm()
        return ended

    def finish(self, reason: str = "") -> Report | None:
        """Close the event that runs, if any: the station is taken down, or the recording ends."""
        event = self._event
        if event is None:
            return None
        if reason:
            event.trouble[reason] = Quality.UNCERTAIN_PARTIAL
        if event.is_doubtful():
            return self._end(event, "rejected", "only components moved that have failed")
        return self._end(event, "closed", "")

    def level(self) -> Level:
        """Tell how things stand at the newest sample."""
        present = [channel for channel in self._channels if channel.is_present]
        if len(present) == len(self._channels):
            quality = Quality.GOOD
        elif present:
            quality = Quality.UNCERTAIN_PARTIAL
        else:
            is_dead = any(channel.conditioner.is_dead for channel in self._channels)
            quality = Quality.BAD_SENSOR if is_dead else Quality.UNCERTAIN_STATUS
        return Level(
            noise_gal=100 * math.sqrt(sum(channel.averages.long for channel in present)),
            ratio=self._trigger.ratio,
            is_triggered=self._event is not None,
            is_settled=bool(present),
            quality=quality,
        )


__all__ = ("Analyser", "AnalyserSettings", "Component", "Level", "Report", "TriggerSettings")
