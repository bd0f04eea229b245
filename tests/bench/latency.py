"""How fast a value is seen: on MQTT beside the durable way, and at an output that it switches."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import quantiles
from typing import NamedTuple

from tests.bench.bare import relay_apart
from tests.bench.compiled import build
from tests.bench.gateway import Instruments, running, serving

DEVICES, REGISTERS, POLL_S = 10, 20, 0.1
COMMIT_S = 0.2
SETTLE_S = 3.0
WATCH_S = 30.0
PAIRS = 4
SWITCH_S = 60.0
LIMIT_S = 20.0
RULE = '{{level = "high", limit = 50, outputs = ["relay-{}"]}}'
"""Half of what the jumping register reaches."""


def measure_fast() -> dict[str, float]:
    """10 devices of 20 registers at 100 ms: delivered, and ms from the reading of a value until a subscriber has it."""
    with serving("walk", REGISTERS) as (port, _):
        instruments = Instruments(name="fast", port=port, devices=DEVICES, registers=REGISTERS, poll_s=POLL_S)
        with running([instruments], spool=f"commit_s = {COMMIT_S}") as gateway:
            gateway.watch(SETTLE_S)
            window = gateway.watch(WATCH_S)
        limit_ms = relay_apart(port, DEVICES, REGISTERS, POLL_S, LIMIT_S)
    return {
        "fast_delivered_pct": window.delivered_pct(instruments),
        "fast_read_to_mqtt_ms_p50": _percentile(window.live_ms, 50),
        "fast_read_to_mqtt_ms_p50_limit": _percentile(limit_ms, 50),
        "fast_read_to_mqtt_ms_p99": _percentile(window.live_ms, 99),
        "fast_read_to_mqtt_ms_p99_limit": _percentile(limit_ms, 99),
        "fast_durable_ms_p50": _percentile(window.durable_ms, 50),
        "fast_durable_commit_ms": COMMIT_S * 1000,
    }


def measure_output() -> dict[str, float]:
    """From a register that jumps until the coil is written at another device, polled each 100 ms, over 4 such pairs."""
    return {
        "change_to_output_ms_p99": _percentile(_switch_by_agent(), 99),
        "change_to_output_ms_p99_limit": _percentile(_switch_by_loop(), 99),
        "change_to_output_poll_ms": POLL_S * 1000,
    }


def _switch_by_agent() -> list[float]:
    with _pairs() as pairs:
        instruments = [
            Instruments(
                name=f"jumping-{n}", port=jumping.port, devices=1, registers=1, poll_s=POLL_S, rule=RULE.format(n)
            )
            for n, (jumping, _) in enumerate(pairs)
        ]
        relays = "".join(_relay(n, relay.port) for n, (_, relay) in enumerate(pairs))
        with running(instruments, more=relays):
            time.sleep(SWITCH_S)
        return _delays_ms(pairs)


def _switch_by_loop() -> list[float]:
    """The raw limit: a libmodbus loop for each pair."""
    with _pairs() as pairs:
        program = str(build("switch"))
        loops = [
            subprocess.Popen([program, str(jumping.port), str(relay.port), str(round(POLL_S * 1000))])
            for jumping, relay in pairs
        ]
        time.sleep(SWITCH_S)
        for loop in loops:
            loop.terminate()
            loop.wait()
        return _delays_ms(pairs)


class Served(NamedTuple):
    """Running instruments: their port, and the process that tells what happens to them."""

    port: int
    process: subprocess.Popen[str]


Pairs = Sequence[tuple[Served, Served]]
"""Of each pair the first jumps and the coil of the second is to follow."""


@contextmanager
def _pairs() -> Iterator[Pairs]:
    with ExitStack() as stack:
        yield [
            (Served(*stack.enter_context(serving("step", 1))), Served(*stack.enter_context(serving("walk", 1))))
            for _ in range(PAIRS)
        ]


def _relay(number: int, port: int) -> str:
    return (
        f'[[bus]]\nname = "relay-{number}"\nkind = "modbus"\nurl = "tcp://127.0.0.1:{port}"\n'
        f'[[device]]\nname = "relay-{number}"\nbus = "relay-{number}"\n'
        '[[device.group]]\nname = "state"\npoll_s = 1.0\n'
        '[[device.group.tag]]\nname = "coil"\nfunction = 1\naddress = 0\ntype = "bool"\n'
        f'[[output]]\nname = "relay-{number}"\ntag = "relay-{number}.coil"\n'
    )


def _delays_ms(pairs: Pairs) -> list[float]:
    """End the instruments. Pair each jump with the coil that followed it to the same state; infinite if none did."""
    delays = []
    for jumping, relay in pairs:
        jumps, coils = told(jumping.process, "step"), told(relay.process, "coil")
        first_ns = coils[0][0]  # what jumped before there was anybody to see it counts for nothing
        for at_ns, state in jumps[:-1]:
            if at_ns > first_ns:
                after = (coil_ns for coil_ns, coil_state in coils if coil_ns >= at_ns and coil_state == state)
                delays.append((next(after, math.inf) - at_ns) / 1e6)
    return delays


def told(process: subprocess.Popen[str], what: str) -> list[tuple[int, int]]:
    """End an instrument. Return what it told of one kind of event: when, and the state."""
    process.terminate()
    assert process.stdout is not None
    lines = (line.split() for line in process.stdout)
    return [(int(words[1]), int(words[2])) for words in lines if words[0] == what]


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]
