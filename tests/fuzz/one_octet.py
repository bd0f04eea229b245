"""How much a checksum of one octet lets through, against theory, and what range and step checks then catch.

WitMotion (sum of octets): frames whose ten octets of content and sum are random. Theory: 1 in 256 is believed.
NMEA (exclusive-or of characters): sentences whose digits are random. Theory: counted over all digits there can be.

The frames run over a pty into the product's driver and then through its quality rules. Between two spoilt frames lies
a clean one with a value that was served, so that resynchronising is part of the trial.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import random
import struct
import tty
from collections.abc import Callable, Sequence
from functools import reduce
from operator import xor
from typing import Any

import msgspec
import uvloop

from drivers.base import Group, Streaming, find
from drivers.errors import LinkTimeoutError
from edge.quality import GroupCheck
from edge.settings import Check
from wire.sample import is_good

FRAMES_A_WRITE = 8
WIND = 12.34
NMEA_DIGITS = 4
END_S = 2.0
"""Silence that tells the end."""


class Trial(msgspec.Struct, frozen=True):
    """One wire: its driver, how frames are made, what the value at rest is, and which rules fit the instrument."""

    kind: str
    source: dict[str, object]
    clean: bytes
    spoil: Callable[[random.Random], bytes]
    at_rest: float
    theory: float
    check: Check


def _witmotion(words: Sequence[int]) -> bytes:
    body = b"\x55\x51" + struct.pack("<4h", *words)
    return body + bytes((sum(body) % 256,))


def _spoil_witmotion(rng: random.Random) -> bytes:
    return b"\x55\x51" + rng.randbytes(9)


def _nmea(speed: str, checksum: int | None = None) -> bytes:
    body = f"WIMWV,214.0,R,{speed},M,A".encode("ascii")
    total = reduce(xor, body) if checksum is None else checksum
    return b"$" + body + b"*%02X\r\n" % total


def _spoil_nmea(rng: random.Random) -> bytes:
    digits = f"{WIND:05.2f}".replace(".", "")
    while (spoilt := "".join(rng.choices("0123456789", k=NMEA_DIGITS))) == digits:
        pass
    return _nmea(f"{spoilt[:2]}.{spoilt[2:]}", reduce(xor, _nmea(f"{WIND:05.2f}")[1:-5]))


def _nmea_theory() -> float:
    """The share of wrong digits whose exclusive-or is that of the right ones."""
    right = tuple(map(int, f"{WIND:05.2f}".replace(".", "")))
    wrong = [digits for digits in itertools.product(range(10), repeat=NMEA_DIGITS) if digits != right]
    return sum(reduce(xor, digits) == reduce(xor, right) for digits in wrong) / len(wrong)


TRIALS: dict[str, Trial] = {
    "witmotion": Trial(
        kind="witmotion",
        source={"channel": "ax"},
        clean=_witmotion((0, 0, 2048, 2500)),
        spoil=_spoil_witmotion,
        at_rest=0.0,
        theory=1 / 256,
        check=Check(low=-2.0, high=2.0, step=0.5, step_s=0.05),
    ),
    "nmea": Trial(
        kind="nmea",
        source={"sentence": "MWV", "field": "speed"},
        clean=_nmea(f"{WIND:05.2f}"),
        spoil=_spoil_nmea,
        at_rest=WIND,
        theory=_nmea_theory(),
        check=Check(low=0.0, high=75.0, step=20.0, step_s=60.0),
    ),
}


async def _listen(trial: Trial, frames: int, seed: int) -> tuple[int, int]:
    """Count the spoilt frames that were believed, and those of them that the quality rules let stand as good."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    kind = find(trial.kind)
    group = Group(
        name="d.g",
        device_name="d",
        device=kind.device(),
        tags=("d.t",),
        sources=(msgspec.convert(trial.source, kind.source),),
    )
    driver = kind.build(kind.settings(url=f"serial://{os.ttyname(slave)}", timeout_s=END_S), [group])
    assert isinstance(driver, Streaming)
    await driver.open()
    speaking = asyncio.create_task(asyncio.to_thread(_speak, master, trial, frames, seed))
    check = GroupCheck({0: trial.check}, (), {})
    believed = stood = 0
    try:
        async for scan in driver.scans():
            is_wrong = scan.values[0] != trial.at_rest and is_good(scan.quality[0])
            stands = is_good(check.apply(scan).quality[0])
            believed += is_wrong
            stood += is_wrong and stands
    except LinkTimeoutError:
        assert speaking.done(), "the driver stopped listening before the end"
    finally:
        await driver.close()
        await speaking
        os.close(master)
        os.close(slave)
    return believed, stood


def _speak(master: int, trial: Trial, frames: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(0, frames, FRAMES_A_WRITE):
        octets = b"".join(trial.spoil(rng) + trial.clean for _ in range(FRAMES_A_WRITE))
        while octets:
            octets = octets[os.write(master, octets) :]


def measure(name: str, frames: int, seed: int) -> dict[str, Any]:
    """Run one trial. ``believed_ratio`` is what was let through over what theory says."""
    trial = TRIALS[name]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        believed, stood = runner.run(_listen(trial, frames, seed))
    share = believed / frames
    return {
        "noise": name,
        "frames": frames,
        "believed": believed,
        "theory": round(trial.theory * frames, 1),
        "believed_ratio": round(share / trial.theory, 3),
        "good_after_checks": stood,
        "seed": seed,
    }
