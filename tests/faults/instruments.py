"""Instruments that fall silent, and a serial adapter that is pulled out and put back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.faults.scene import Fault, Scene


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name."""
    return {"instruments-silent": partial(_silent, scene), "adapter-gone": partial(_adapter_gone, scene)}


async def _silent(scene: Scene) -> None:
    """All instruments of a site lose their power for a while."""
    station = scene.any_gateway.station
    station.power_off()
    await scene.pause(3, 10)
    station.power_on()


async def _adapter_gone(scene: Scene) -> None:
    """What the agent had read of a scan goes with the adapter: nobody was told that it is safe."""
    scene.befallen.has_lost_memory = True
    line = scene.source.choice([line for side in scene.district.gateways for line in side.station.lines])
    line.unplug()
    await scene.pause(2, 8)
    line.plug()
