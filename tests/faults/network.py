"""Links cut, held and thin."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from tests.faults.alarms import PARK
from tests.faults.scene import ACT_S, Fault, Scene

THIN_OCTETS_PER_S = 4000.0
NARROW_OCTETS_PER_S = 1000.0
BACKLOG_OCTETS_PER_S = 8000.0
"""The thinnest link on which alarms were found to be in time beside the live values of this site."""
BACKLOG_S = (70.0, 75.0)
"""So long that what waits takes the thin link more than the 5 s in which an alarm has to be there."""
IN_TIME_S = 13.0


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name."""
    return {
        "cut-link": partial(_cut, scene),
        "half-open": partial(_half_open, scene),
        "answers-lost": partial(_answers_lost, scene),
        "answers-late": partial(_answers_late, scene),
        "uploads-lost": partial(_uploads_lost, scene),
        "thin-link": partial(_thin, scene, THIN_OCTETS_PER_S),
        "narrow-link": partial(_thin, scene, NARROW_OCTETS_PER_S),
        "alarm-before-backlog": partial(_alarm_before_backlog, scene),
    }


async def _cut(scene: Scene) -> None:
    link = scene.any_gateway.link
    link.cut()
    await scene.pause(1, 12)
    link.heal()


async def _half_open(scene: Scene) -> None:
    """Nothing passes and nobody is told; then all that was held arrives late, or the connection breaks."""
    link = scene.any_gateway.link
    link.up.hold()
    link.down.hold()
    await scene.pause(2, 12)
    if scene.source.random() < 0.5:
        link.cut()
    link.heal()


async def _answers_lost(scene: Scene) -> None:
    """The fleet commits; its acks are held, then the connection breaks."""
    link = scene.any_gateway.link
    link.down.hold()
    await scene.pause(2, 10)
    link.cut()
    link.heal()


async def _answers_late(scene: Scene) -> None:
    """Ingest stands still for so long that gateways send again, in the same session, what the broker has confirmed.

    Then both come to it. With the link held instead, nothing would be sent again: a gateway waits for the broker first.
    """
    await scene.freeze(scene.pid("ingest"), 9, 13)
    await asyncio.sleep(ACT_S)


async def _uploads_lost(scene: Scene) -> None:
    link = scene.any_gateway.link
    link.up.hold()
    await scene.pause(2, 10)
    link.cut()
    link.heal()


async def _thin(scene: Scene, octets_per_s: float) -> None:
    link = scene.any_gateway.link
    link.up.octets_per_s = octets_per_s
    await scene.pause(4, 12)
    link.heal()


async def _alarm_before_backlog(scene: Scene) -> None:
    """A thin link is back after a while, with a backlog to carry, when an alarm begins: it must not wait behind it."""
    side = scene.gateway(PARK)
    side.link.cut()
    await scene.pause(*BACKLOG_S)
    side.link.heal()
    side.link.up.octets_per_s = BACKLOG_OCTETS_PER_S
    await scene.arrives(side)
    await scene.expect_alarms(PARK, IN_TIME_S)
    side.link.heal()
