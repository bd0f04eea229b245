"""Modbus RTU over a pty on which a share of the replies is spoilt, and every value is compared with what was served.

The instrument behind the line is not the product's: it finds requests by a CRC of its own (`wires.base`). Each answer
holds values that no other answer holds, so that a reply taken for another's is seen at once.

Spoilt within what CRC-16 is guaranteed to detect: one to three bits flipped anywhere, or a burst of up to 16 bits.
Otherwise spoilt: octets dropped, the reply torn, sent twice, sent late, sent together with another unit's reply, merged
with an octet of noise, or another unit's reply in its place.
"""

from __future__ import annotations

import asyncio
import os
import pty
import random
import tty
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop

from drivers.base import Driver, DriverKind, Group, Polled, find
from drivers.errors import DriverError
from tests.fuzz.wires.base import crc16
from wire.sample import is_bad

REGISTERS = 8
UNITS = (1, 2)
TIMEOUT_S = 0.02
PAUSE_S = 0.002
LATE_MOST = 2.5
"""Time-outs after the request within which a late reply comes; the driver reckons with three."""
LINES = 8
"""Lines read at once: most of the time is spent waiting for what does not come."""
CLEAN_SHARE = 0.7
BURST_BITS = 16


def frame(unit: int, registers: list[int]) -> bytes:
    """Frame a reply to function 3."""
    body = bytes((unit, 3, 2 * len(registers))) + b"".join(value.to_bytes(2, "big") for value in registers)
    return body + crc16(body).to_bytes(2, "little")


def _flip_bits(rng: random.Random, reply: bytes) -> bytes:
    number = int.from_bytes(reply, "big")
    for bit in rng.sample(range(8 * len(reply)), rng.randint(1, 3)):
        number ^= 1 << bit
    return number.to_bytes(len(reply), "big")


def _burst(rng: random.Random, reply: bytes) -> bytes:
    width = rng.randint(2, BURST_BITS)
    pattern = 1 | 1 << (width - 1) | rng.getrandbits(width)
    shift = rng.randrange(8 * len(reply) - width + 1)
    return (int.from_bytes(reply, "big") ^ pattern << shift).to_bytes(len(reply), "big")


def _drop(rng: random.Random, reply: bytes) -> bytes:
    at = rng.randrange(len(reply))
    return reply[:at] + reply[at + rng.randint(1, 3) :]


def _tear(rng: random.Random, reply: bytes) -> bytes:
    return reply[: rng.randrange(len(reply))]


def _double(rng: random.Random, reply: bytes) -> bytes:
    return reply + reply[: rng.randint(1, len(reply))]


def _merge(rng: random.Random, reply: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 4)) + reply


def _other_unit(rng: random.Random, reply: bytes) -> bytes:
    return frame(UNITS[reply[0] == UNITS[0]], [rng.getrandbits(16) for _ in range(reply[2] // 2)])


def _behind_another(rng: random.Random, reply: bytes) -> bytes:
    return _other_unit(rng, reply) + reply


NOISES: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "flipped": _flip_bits,
    "burst": _burst,
    "dropped": _drop,
    "torn": _tear,
    "doubled": _double,
    "merged": _merge,
    "other-unit": _other_unit,
    "behind-another": _behind_another,
}
LATE = "late"


class Instrument:
    """Two units on one line. ``served`` is what the newest request for a register truly got."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        os.set_blocking(self._master, False)
        self._buffer = bytearray()
        self._count = 0
        self.served: dict[int, dict[int, int]] = {}
        self.noises: Counter[str] = Counter()
        self._is_closed = False
        asyncio.get_running_loop().add_reader(self._master, self._take)

    def close(self) -> None:
        self._is_closed = True
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _take(self) -> None:
        self._buffer += os.read(self._master, 4096)
        while len(self._buffer) >= 8:
            request = bytes(self._buffer[:8])
            if crc16(request[:6]).to_bytes(2, "little") != request[6:]:
                del self._buffer[0]
                continue
            del self._buffer[:8]
            self._answer(request[0], int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big"))

    def _answer(self, unit: int, address: int, count: int) -> None:
        self._count += 1
        values = {register: self._rng.getrandbits(16) for register in range(address, address + count)}
        self.served.setdefault(unit, {}).update(values)
        reply = frame(unit, list(values.values()))
        if self._rng.random() < CLEAN_SHARE:
            self._send(reply)
            return
        noise = self._rng.choice((*NOISES, LATE))
        self.noises[noise] += 1
        if noise == LATE:
            late_s = TIMEOUT_S * self._rng.uniform(0.9, LATE_MOST)
            asyncio.get_running_loop().call_later(late_s, self._send, reply)
        else:
            self._send(NOISES[noise](self._rng, reply))

    def _send(self, reply: bytes) -> None:
        if not self._is_closed:  # a late reply
            os.write(self._master, reply)


class Count(msgspec.Struct):
    """What became of the scans of one line, or of several."""

    good: int = 0
    faults: int = 0
    false_good: int = 0


def _groups(kind: DriverKind) -> list[Group]:
    sources = tuple(kind.source(function=3, address=address) for address in range(REGISTERS))
    tags = tuple(f"r{n}" for n in range(REGISTERS))
    return [
        Group(name=f"u{unit}.all", device_name=f"u{unit}", device=kind.device(unit=unit), tags=tags, sources=sources)
        for unit in UNITS
    ]


async def _read(driver: Driver, group: Group, served: dict[int, int], count: Count) -> None:
    assert isinstance(driver, Polled)
    try:
        scan = await driver.read(group)
    except DriverError:
        count.faults += 1
        await asyncio.sleep(PAUSE_S)  # a unit that is left alone for a while refuses at once
        return
    if is_bad(scan.quality[0]):
        return
    count.good += 1
    count.false_good += list(scan.values) != [served.get(n) for n in range(REGISTERS)]


async def _run_line(frames: int, seed: int, count: Count) -> Counter[str]:
    instrument = Instrument(seed)
    kind = find("modbus")
    groups = _groups(kind)
    driver = kind.build(kind.settings(url=f"rtu://{instrument.path}", baud=115_200, timeout_s=TIMEOUT_S), groups)
    await driver.open()
    try:
        while sum(instrument.noises.values()) < frames:
            for unit, group in zip(UNITS, groups, strict=True):
                await _read(driver, group, instrument.served.setdefault(unit, {}), count)
    finally:
        await driver.close()
        instrument.close()
    return instrument.noises


async def _run_lines(frames: int, seed: int) -> dict[str, Any]:
    count = Count()
    lines = (_run_line(-(-frames // LINES), seed * LINES + line, count) for line in range(LINES))
    noises: Counter[str] = Counter()
    for counted in await asyncio.gather(*lines):
        noises += counted
    figures = {"noise": "modbus-rtu", "frames": sum(noises.values()), **msgspec.structs.asdict(count)}
    return {**figures, "by_noise": dict(sorted(noises.items())), "seed": seed}


def measure(frames: int, seed: int) -> dict[str, Any]:
    """Read until so many replies were spoilt. ``false_good``: scans reported good that were not what was served."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run_lines(frames, seed))
