"""How strong it was where no station stands: an estimate from the stations around. Pure.

Inverse distances, squared, of the stations within a radius (Shepard, Proc. 23rd ACM National Conference, 1968, with the
weights of Franke and Nielson, Int. J. Numer. Meth. Engng 15, 1980): w = ((R - d) / (R d))^2. It says nothing of the
ground between, and it knows only stations that triggered, so it is on the high side at the edge of what was felt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from fleet.quakes.association import measure_km

REACH_KM = 25.0
"""R: a station further away says nothing of a place."""
AROUND_KM = 5.0
"""How far a single station speaks for what is around it."""
NEAREST_KM = 0.1
"""Nearer than that the station's own value is the place's."""


class Measured(msgspec.Struct, frozen=True):
    """What a station measured: its instrumental intensity by GB/T 17742-2020, its position in degrees, its name."""

    name: str
    lat: float
    lon: float
    intensity: float


class Place(msgspec.Struct, frozen=True):
    """A place of which an estimate is wanted; position in degrees. ``population`` is None where nobody said."""

    name: str
    lat: float
    lon: float
    population: int | None = None
    is_approximate: bool = False


class Estimate(msgspec.Struct, frozen=True):
    """What a place is estimated to have felt. ``stations`` is how many it rests on; ``nearest`` the nearest of them and
    ``nearest_km`` how far it is. ``intensity`` is None where no station speaks for the place, and ``stations`` 0."""

    place: Place
    intensity: float | None
    stations: int
    nearest: str = ""
    nearest_km: float | None = None

    @property
    def grade(self) -> int:
        """The class: the intensity to the nearest whole, 0 for none."""
        return 0 if self.intensity is None else grade_of(self.intensity)


def estimate(place: Place, measured: Sequence[Measured]) -> Estimate:
    """Estimate the intensity at a place."""
    near = sorted((measure_km(place.lat, place.lon, one.lat, one.lon), one.name, one) for one in measured)
    speaking = [(km, one) for km, _, one in near if km < REACH_KM]
    if not speaking:
        return Estimate(place, None, 0)
    nearest_km, nearest = speaking[0]
    if len(speaking) == 1 and nearest_km > AROUND_KM:
        return Estimate(place, None, 0)
    if nearest_km < NEAREST_KM:
        return Estimate(place, nearest.intensity, 1, nearest.name, nearest_km)
    weights = [((REACH_KM - km) / (REACH_KM * km)) ** 2 for km, _ in speaking]
    total = sum(weight * one.intensity for weight, (_, one) in zip(weights, speaking, strict=True))
    value = round(total / sum(weights), 1)
    return Estimate(place, value, len(speaking), nearest.name, nearest_km)


def estimate_all(places: Iterable[Place], measured: Sequence[Measured]) -> tuple[Estimate, ...]:
    """Estimate for many places: the strongest first, those of which nothing is known last, by name among equals."""
    found = [estimate(place, measured) for place in places]
    return tuple(sorted(found, key=lambda one: (-(one.intensity or 0.0), one.intensity is None, one.place.name)))


def grade_of(intensity: float) -> int:
    """The class of an instrumental intensity (GB/T 17742-2020: classes I to XII, an intensity of V reaches from 4.5 to
    below 5.5)."""
    return min(max(int(intensity + 0.5), 1), 12)
