"""What a whole recording tells: peaks and intensities by definition, and the trigger that a station would have had."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from seismic.analyser import Analyser
from seismic.channel import LEAST_JUMP, MOST
from seismic.conditioning import AHEAD, Conditioner
from seismic.filters import Cascade
from seismic.intensity import PLACES, Exceedance, grade_of, intensity_gb, intensity_jma, jma_sections
from seismic.motion import Band, Peaks
from seismic.recording import Recording
from seismic.report import Component, Report
from seismic.settings import AnalyserSettings
from seismic.weighting import SAMPLES_MOST, jma_by_definition
from wire.sample import quality_class


class Measurement(NamedTuple):
    """What `measure` finds: units are in the names. ``triggered_at`` is in s from the first sample, None if never.

    ``triggered_at``, ``duration_s``, ``quality`` and ``reason`` are of the strongest event that an analyser reports.
    """

    pga_gal: float
    pgv_cm_s: float
    pgd_cm: float
    intensity_gb: float
    intensity_jma: float
    grade: int
    triggered_at: float | None
    duration_s: float
    pd_cm: float | None
    tau_c_s: float | None
    magnitude: float | None
    magnitude_error: float | None
    quality: str
    reason: str


def measure(recording: Recording, settings: AnalyserSettings) -> Measurement:
    """Measure a recording. The baseline is the mean of all of it; where values are missing the filters stand still.

    JMA intensity is by its definition, or recursive if the record is too long or has gaps. Raises SeismicError.
    """
    event = _strongest(recording, settings)
    columns = [
        _conditioned(values, component, recording.rate_hz, settings)
        for component, values in zip(recording.components, recording.values, strict=True)
    ]
    a, v, d, jma = _peaks(columns, recording.rate_hz)
    is_whole = len(columns[0]) <= SAMPLES_MOST and not any(value is None for column in columns for value in column)
    if is_whole:
        jma = jma_by_definition([[value or 0.0 for value in column] for column in columns], recording.rate_hz)
    gb = intensity_gb(a, v)
    return Measurement(
        pga_gal=round(100 * a, 4),
        pgv_cm_s=round(100 * v, 4),
        pgd_cm=round(100 * d, 4),
        intensity_gb=round(gb, PLACES),
        intensity_jma=round(jma, PLACES),
        grade=grade_of(gb),
        triggered_at=None if event is None else round((event.onset_at_ns - recording.start_ns) / 1e9, 3),
        duration_s=0.0 if event is None else round(event.duration_s, 3),
        pd_cm=event.pd_cm if event else None,
        tau_c_s=event.tau_c_s if event else None,
        magnitude=event.magnitude if event else None,
        magnitude_error=event.magnitude_error if event else None,
        quality=quality_class(event.quality if event else 0),
        reason=event.reason if event else "",
    )


def _strongest(recording: Recording, settings: AnalyserSettings) -> Report | None:
    analyser = Analyser(recording.rate_hz, recording.components, settings)
    reports = [analyser.take(at_ns, values) for at_ns, values in recording.samples()]
    closed = [report for report in (*reports, analyser.finish()) if report is not None and report.state == "closed"]
    return max(closed, key=lambda report: report.pga_gal, default=None)


def _conditioned(
    values: Sequence[float | None], component: Component, rate_hz: float, settings: AnalyserSettings
) -> list[float | None]:
    """Give a component's acceleration without spikes, failures and its mean."""
    kind = component.quantity
    is_velocity = kind == "velocity"
    full_scale = None if is_velocity else settings.full_scale_m_s2
    conditioner = Conditioner(rate_hz, MOST[kind], LEAST_JUMP[kind], full_scale, round(settings.dead_s * rate_hz))
    # The last value is repeated for the look-ahead: else a jump there would be taken for a failure.
    column = [conditioner.take(value) for value in (*values, *[values[-1]] * AHEAD)][AHEAD:]
    if is_velocity:
        column = [
            (now - before) * rate_hz if now is not None and before is not None else None
            for before, now in zip([column[0], *column], column, strict=False)
        ]
    known = [value for value in column if value is not None]
    mean = math.fsum(known) / len(known) if known else 0.0
    return [None if value is None else value - mean for value in column]


def _peaks(columns: Sequence[Sequence[float | None]], rate_hz: float) -> tuple[float, float, float, float]:
    bands = [Band(rate_hz) for _ in columns]
    weights = [Cascade(jma_sections(rate_hz)) for _ in columns]
    peaks, held = Peaks(), Exceedance(rate_hz)
    for at, values in enumerate(zip(*columns, strict=True)):
        a2 = v2 = d2 = weighted2 = 0.0
        for band, weight, value in zip(bands, weights, values, strict=True):
            if value is None:
                continue
            band.step(value)
            high = band.high
            a2 += high.acceleration**2
            v2 += high.velocity**2
            d2 += high.displacement**2
            weighted2 += weight.step(value) ** 2
        peaks.take(at, a2, v2, d2)
        held.take(1e4 * weighted2)
    return peaks.acceleration, peaks.velocity, peaks.displacement, intensity_jma(held.held_gal)
