"""What an analyser is told of its components and what it tells of the motion."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Quantity = Literal["acceleration", "velocity"]
State = Literal["onset", "p-wave", "grown", "closed", "rejected"]

STEEP_DEG = 45.0


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One channel of a station. Orientation as in SEED: azimuth from north, dip down from the horizontal.

    Values are in m/s2, or in m/s if the quantity is velocity (a geophone): these are differentiated.
    """

    name: str
    azimuth_deg: Annotated[float, Meta(ge=0, le=360)] = 0.0
    dip_deg: Annotated[float, Meta(ge=-90, le=90)] = 0.0
    quantity: Quantity = "acceleration"

    @property
    def is_vertical(self) -> bool:
        """Whether it points up or down."""
        return abs(self.dip_deg) >= STEEP_DEG


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an event at ``at_ns``. Times are in the time base of the samples.

    ``state``: ``onset`` is the first of an event; ``p-wave`` brings what its first seconds tell (an estimate);
    ``grown`` says that something has become larger; ``closed`` is the last; ``rejected`` is the last too: it was
    none, and ``reason`` says why. Peaks are of the vector of what components there are, 0.1 to 10 Hz, since the onset.
    ``pd_cm``, ``tau_c_s``, ``magnitude`` and its standard error are None while unknown. ``spectrum`` is the
    pseudo-acceleration in gal at `seismic.spectrum.PERIODS`, once closed. ``quality`` is of `wire.sample.Quality`.
    """

    state: State
    onset_at_ns: int
    peak_at_ns: int
    at_ns: int
    duration_s: float
    pga_gal: float
    pgv_cm_s: float
    pgd_cm: float
    intensity_gb: float
    intensity_jma: float
    grade: int
    quality: int = 0
    pd_cm: float | None = None
    tau_c_s: float | None = None
    magnitude: float | None = None
    magnitude_error: float | None = None
    spectrum: tuple[float, ...] = ()
    reason: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand at the newest sample: what a live view shows between events."""

    noise_gal: float
    """rms over the long window of the trigger, frozen while an event runs."""
    ratio: float
    """Short over long average of energy."""
    is_triggered: bool
    is_settled: bool
    """False for the first seconds, and after a gap: nothing triggers yet."""
    quality: int
