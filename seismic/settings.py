"""What a station can set of its analyser. Units are in the names."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When motion is taken for an earthquake: the short average of its energy against the long one, above a floor.

    The defaults are those usual for early warning: 0.5 s against 10 to 30 s, a ratio of 3 to 5.
    """

    sta_s: Annotated[float, Meta(ge=0.1, le=10, description="window of the short average")] = 0.5
    lta_s: Annotated[float, Meta(ge=5, le=300, description="window of the long average")] = 20.0
    on_ratio: Annotated[float, Meta(gt=1, le=100, description="short over long average of energy that triggers")] = 4.0
    off_ratio: Annotated[float, Meta(gt=0, le=100, description="ratio below which the motion has ended")] = 1.5
    floor_gal: Annotated[
        float, Meta(gt=0, le=1000, description="rms over the short window that must be exceeded as well")
    ] = 0.4

    def __post_init__(self) -> None:
        if not self.sta_s < self.lta_s:
            raise ValueError("sta_s must be less than lta_s: the short window is compared with the long one")
        if not self.off_ratio < self.on_ratio:
            raise ValueError("off_ratio must be less than on_ratio: else nothing less than off_ratio would trigger")


class AnalyserSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[station.analyser]: when a station triggers, and how its samples are judged."""

    trigger: Annotated[TriggerSettings, Meta(description="when motion is taken for a quake")] = TriggerSettings()
    settle_s: Annotated[float, Meta(ge=1, le=60, description="samples that make the first baseline")] = 5.0
    full_scale_m_s2: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None,
        Meta(description="where the instrument clips; told by flat tops only if not given"),
    ] = None
    dead_s: Annotated[float, Meta(ge=1, le=3600, description="a component that never moved for so long is dead")] = 30.0
    bridge_s: Annotated[float, Meta(ge=0, le=30, description="longest gap that an event and the filters outlast")] = 5.0
    close_s: Annotated[float, Meta(ge=1, le=120, description="quiet after which an event is closed")] = 10.0
    longest_s: Annotated[float, Meta(ge=30, le=3600, description="an event is closed after so long")] = 600.0
    grown_s: Annotated[float, Meta(ge=0.1, le=10, description="least time between two reports of growth")] = 0.25
    grade_deadband: Annotated[
        float, Meta(ge=0, le=1, description="how far intensity must fall below a class before the class falls")
    ] = 0.2
