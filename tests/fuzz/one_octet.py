"""How much a checksum of one octet lets through, against theory, and what range and step checks then catch.

Sums (WitMotion, GB/T 26875.3, declared frames with sum8, Modbus ASCII): frames whose numbers and sum are random octets.
Theory: 1 in 256 is believed. NMEA (exclusive-or of characters): sentences whose digits are random. Theory: counted over
all digits there can be.

The frames run over a pty into the product's driver and then through its quality rules. Behind each spoilt frame comes a
clean one with a value that was served, so that resynchronising is part of the trial.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import random
import select
import struct
import tty
from collections.abc import AsyncIterator, Callable, Sequence
from functools import reduce
from operator import xor
from typing import Any

import msgspec
import uvloop

from drivers.base import Group, Scan, Streaming, find
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
    source: dict[str, Any]
    clean: bytes
    spoil: Callable[[random.Random], bytes]
    at_rest: float
    check: Check
    theory: float = 1 / 256
    device: dict[str, Any] = {}
    scheme: str = "serial"


def _witmotion(words: Sequence[int]) -> bytes:
    body = b"\x55\x51" + struct.pack("<4h", *words)
    return body + bytes((sum(body) % 256,))


def _spoil_witmotion(rng: random.Random) -> bytes:
    return b"\x55\x51" + rng.randbytes(9)


def _level(octets: bytes) -> bytes:
    return b"\x7e" + octets + bytes((sum(octets) % 256,))


def _spoil_level(rng: random.Random) -> bytes:
    return b"\x7e" + rng.randbytes(3)


_NOON = bytes((0, 0, 12, 1, 5, 26))
_FIRE_HEAD = (
    bytes((10, 0, 1, 1)) + _NOON + bytes(12) + struct.pack("<H", 18) + bytes((2, 3, 1, 12, 2, 99, 7, 0, 0, 0, 3))
)


def _fire(number: bytes, checksum: bytes = b"") -> bytes:
    body = _FIRE_HEAD + number + _NOON
    return b"@@" + body + (checksum or bytes((sum(body) % 256,))) + b"##"


def _spoil_fire(rng: random.Random) -> bytes:
    return _fire(rng.randbytes(2), rng.randbytes(1))


def _ascii(octets: bytes) -> bytes:
    return b":" + (b"\x01\x03\x02" + octets).hex().upper().encode() + b"\r\n"


def _spoil_ascii(rng: random.Random) -> bytes:
    return _ascii(rng.randbytes(3))


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
        check=Check(low=-2.0, high=2.0, step=0.5, step_s=0.05),
    ),
    "frames": Trial(
        kind="frames",
        device={"binary": {"header": "7E", "length": 4, "checksum": {"kind": "sum8", "first": 1}}},
        source={"at": 1, "type": "u16", "scale": 0.001},
        clean=_level(b"\x0b\xb8"),
        spoil=_spoil_level,
        at_rest=3.0,
        check=Check(low=0.0, high=10.0, step=0.5, step_s=1.0),
    ),
    "gb26875": Trial(
        kind="gb26875",
        device={"age_by": "instrument"},
        source={"what": "analogue", "value": "temperature"},
        clean=_fire(struct.pack("<h", 250)),
        spoil=_spoil_fire,
        at_rest=25.0,
        check=Check(low=-40.0, high=120.0, step=20.0, step_s=60.0),
    ),
    "modbus-ascii": Trial(
        kind="modbus",
        source={"address": 0, "type": "i16", "scale": 0.1},
        clean=_ascii(struct.pack(">hB", 250, -(1 + 3 + 2 + 250) % 256)),
        spoil=_spoil_ascii,
        at_rest=25.0,
        check=Check(low=-40.0, high=120.0, step=20.0, step_s=60.0),
        scheme="ascii",
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


class Tally:
    """Counts the clean frames that came through, the spoilt ones that were believed, and those of them that the quality
    rules let stand as good.
    """

    def __init__(self, trial: Trial) -> None:
        self.clean = self.believed = self.stood = 0
        self._at_rest = trial.at_rest
        self._check = GroupCheck({0: trial.check}, (), {})

    def add(self, scan: Scan) -> None:
        is_wrong = scan.values[0] != self._at_rest and is_good(scan.quality[0])
        stands = is_good(self._check.apply(scan).quality[0])
        self.clean += scan.values[0] == self._at_rest
        self.believed += is_wrong
        self.stood += is_wrong and stands


def _driver(trial: Trial, port: str) -> tuple[Any, Group]:
    kind = find(trial.kind)
    group = Group(
        name="d.g",
        device_name="d",
        device=msgspec.convert(trial.device, kind.device),
        tags=("d.t",),
        sources=(msgspec.convert(trial.source, kind.source),),
    )
    return kind.build(kind.settings(url=f"{trial.scheme}://{port}", timeout_s=END_S), [group]), group


async def _poll(driver: Any, group: Group, times: int) -> AsyncIterator[Scan]:
    for _ in range(times):
        yield await driver.read(group)


async def _run(trial: Trial, frames: int, seed: int) -> Tally:
    master, slave = pty.openpty()
    tty.setraw(slave)
    driver, group = _driver(trial, os.ttyname(slave))
    tally = Tally(trial)
    await driver.open()
    is_streaming = isinstance(driver, Streaming)
    speaking = asyncio.create_task(asyncio.to_thread(_speak if is_streaming else _answer, master, trial, frames, seed))
    try:
        async for scan in driver.scans() if is_streaming else _poll(driver, group, frames):
            tally.add(scan)
    except LinkTimeoutError:
        assert speaking.done(), "the driver stopped listening before the end"
    finally:
        await driver.close()
        await speaking
        os.close(master)
        os.close(slave)
    return tally


def _speak(master: int, trial: Trial, frames: int, seed: int) -> None:
    """Say spoilt and clean frames in turn, and hear the answers to them, which nobody needs."""
    rng = random.Random(seed)
    for _ in range(0, frames, FRAMES_A_WRITE):
        octets = b"".join(trial.spoil(rng) + trial.clean for _ in range(FRAMES_A_WRITE))
        while octets:
            hears, says, _ = select.select([master], [master], [])
            if hears:
                os.read(master, 4096)
            if says:
                octets = octets[os.write(master, octets) :]


def _answer(master: int, trial: Trial, frames: int, seed: int) -> None:
    """Answer each request by a spoilt and a clean frame."""
    rng = random.Random(seed)
    for _ in range(frames):
        heard = b""
        while not heard.endswith(b"\r\n"):
            heard += os.read(master, 4096)
        os.write(master, trial.spoil(rng) + trial.clean)


def measure(name: str, frames: int, seed: int) -> dict[str, Any]:
    """Run one trial. ``believed_ratio`` is what was let through over what theory says."""
    trial = TRIALS[name]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(_run(trial, frames, seed))
    expected = trial.theory * frames
    return {
        "noise": name,
        "frames": frames,
        "clean_lost": max(0, frames - tally.clean),
        "believed": tally.believed,
        "theory": round(expected, 1),
        "believed_ratio": round(tally.believed / expected, 3),
        "good_after_checks": tally.stood,
        "seed": seed,
    }
