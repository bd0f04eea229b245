"""Programs killed, stopped and starved."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from lab.platform import Trouble
from tests.faults.scene import ACT_S, PROGRAMS, Fault, Scene

FREE_DESCRIPTORS = 1
FREE_OCTETS = 1024 * 1024
"""Address space that an agent may still take: less than a connection and a backlog want."""


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name."""
    return {
        **{f"kill-{name}": partial(_kill, scene, name) for name in PROGRAMS},
        **{f"stop-{name}": partial(_stop, scene, name) for name in PROGRAMS},
        "kill-agent": partial(_kill_agent, scene),
        "kill-agents": partial(_kill_agents, scene),
        "kill-agent-twice": partial(_kill_agent_twice, scene),
        "stop-agent": partial(_stop_agent, scene),
        "kill-fleet": partial(_kill_fleet, scene),
        "out-of-memory": partial(_out_of_memory, scene),
        "few-descriptors": partial(_few_descriptors, scene),
        "two-at-once": partial(_two_at_once, scene),
        "three-at-once": partial(_three_at_once, scene),
        "killed-while-recovering": partial(_killed_while_recovering, scene),
    }


async def _kill(scene: Scene, name: str) -> None:
    await scene.pause(0, 1)
    os.kill(scene.pid(name), signal.SIGKILL)
    await asyncio.sleep(ACT_S)


async def _stop(scene: Scene, name: str) -> None:
    await scene.freeze(scene.pid(name), 1, 8)


async def _kill_agent(scene: Scene) -> None:
    side = scene.any_gateway
    await scene.pause(0, 1)
    await scene.kill_agent(side)
    await scene.pause(0, 2)
    await side.start_agent()


async def _kill_agents(scene: Scene) -> None:
    """All of them, as when a district's power goes."""
    await scene.pause(2, 4)
    for side in scene.district.gateways:
        await scene.kill_agent(side)
    for side in scene.district.gateways:
        await side.start_agent()


async def _kill_agent_twice(scene: Scene) -> None:
    """The second time while it recovers from the first."""
    side = scene.any_gateway
    await scene.kill_agent(side)
    await side.start_agent()
    await scene.pause(0.2, 2.5)
    await scene.kill_agent(side)
    await side.start_agent()


async def _stop_agent(scene: Scene) -> None:
    """Instruments that speak by themselves go unheard meanwhile: that is the same as a scan in memory that is lost."""
    scene.befallen.has_lost_memory = True
    await scene.freeze(scene.any_gateway.agent.pid, 1, 8)


async def _kill_fleet(scene: Scene) -> None:
    await scene.district.fleet.kill()
    await asyncio.sleep(ACT_S)
    await scene.district.fleet.serve_again()


async def _few_descriptors(scene: Scene) -> None:
    """The agent may open one more file or socket, then no other. Its link is cut, so that it wants some."""
    scene.befallen.has_lost_memory = True
    side = scene.any_gateway
    pid = side.agent.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + FREE_DESCRIPTORS, before[1]))
    try:
        side.link.cut()
        await scene.pause(2, 5)
        side.link.heal()
        await scene.pause(2, 5)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def _out_of_memory(scene: Scene) -> None:
    """The agent gets hardly any more memory. If it ends over that, the service manager starts it again, with more."""
    scene.befallen.has_lost_memory = True
    side = scene.any_gateway
    pid = side.agent.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + FREE_OCTETS
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, before[1]))
    side.link.cut()
    await scene.pause(2, 5)
    side.link.heal()
    await scene.pause(2, 5)
    if side.agent.is_running:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    else:
        await side.start_agent()


async def _two_at_once(scene: Scene) -> None:
    """A link is cut while a program of the fleet is killed, and healed while it starts."""
    side = scene.any_gateway
    side.link.cut()
    await scene.pause(0, 2)
    os.kill(scene.pid(scene.source.choice(sorted(PROGRAMS))), signal.SIGKILL)
    await scene.pause(0, 3)
    side.link.heal()


async def _three_at_once(scene: Scene) -> None:
    """The platform loses its answers and a link is thin while an agent is killed."""
    side, other = scene.source.sample(scene.district.gateways, 2)
    scene.district.platform.trouble = Trouble.FORGETS
    side.link.up.octets_per_s = 2000.0
    await scene.pause(1, 3)
    await scene.kill_agent(other)
    await other.start_agent()
    await scene.pause(1, 4)
    side.link.heal()
    scene.district.platform.trouble = None


async def _killed_while_recovering(scene: Scene) -> None:
    """A link is back and its backlog under way when the agent, ingest and the broker are killed in turn."""
    side = scene.any_gateway
    side.link.cut()
    await scene.pause(4, 8)
    side.link.heal()
    await scene.pause(0.5, 2)
    await scene.kill_agent(side)
    await side.start_agent()
    for name in ("ingest", "broker"):
        await scene.pause(0, 2)
        os.kill(scene.pid(name), signal.SIGKILL)
