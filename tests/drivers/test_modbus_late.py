"""Replies that are late, lost, doubled or another unit's, on lines whose frames bear no number; in virtual time.

The instrument gives every request values that no other request gets, so that a reply taken for another's is seen.
"""

from __future__ import annotations

import asyncio
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Group, find
from drivers.bits import crc16_modbus
from drivers.errors import DriverError, LinkError, LinkTimeoutError
from drivers.transport import Inbox
from tests.edge.virtual import mono_ns, now_s, run

KIND = find("modbus")
TIMEOUT_S, LATE_MAX_S = 0.1, 0.2
STRANGER = 77


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one request: whether it arrives, and when its reply and the copies of it do."""

    arrives: bool = True
    delay_s: float | None = 0.0
    copies_s: tuple[float, ...] = ()
    stranger_s: float | None = None
    refused: bool = False


on_time = st.floats(0.0, 0.09)
late = st.floats(0.11, TIMEOUT_S + LATE_MAX_S - 0.01)
fates = (
    st.builds(Fate, delay_s=on_time, copies_s=st.sampled_from([(), (0.0,)]), stranger_s=st.none() | on_time)
    | st.builds(Fate, delay_s=late, copies_s=st.lists(late, max_size=2).map(tuple), refused=st.booleans())
    | st.builds(Fate, delay_s=st.none(), arrives=st.booleans(), stranger_s=st.none() | late)
)


class Instrument:
    """Registers that hold the number of the request that reads them, but for some that hold what was set."""

    def __init__(self) -> None:
        self.served = 0
        self.held = {(unit, at): 0 for unit in (1, 2) for at in range(900, 910)}

    def answer(self, request: bytes) -> bytes:
        unit, function, address, word = struct.unpack_from(">BBHH", request)
        if function == 6:
            self.held[unit, address] = word
            return request[:6]
        self.served += 1
        words = [self.held.get((unit, at), self.served) for at in range(address, address + word)]
        return struct.pack(f">BBB{word}H", unit, function, 2 * word, *words)


class Wire:
    """A line that does with each request what the next fate says. An RTU or ASCII frame, as ``is_ascii`` says."""

    def __init__(self, instrument: Instrument, is_ascii: bool, doom: list[Fate]) -> None:
        self._instrument, self._is_ascii, self._doom = instrument, is_ascii, doom
        self._inbox = Inbox()

    async def open(self) -> None:
        self._inbox.start()

    async def close(self) -> None:
        self._inbox.fail(LinkError("closed"))

    async def read(self) -> bytes:
        return await self._inbox.read()

    def discard(self) -> int:
        return self._inbox.discard()

    async def write(self, data: bytes) -> None:
        request = bytes.fromhex(data[1:-4].decode()) if self._is_ascii else data[:-2]
        fate = self._doom.pop() if self._doom else Fate()
        reply = self._instrument.answer(request) if fate.arrives else b""
        if fate.refused:
            reply = bytes((request[0], request[1] | 0x80, 6))
        if fate.delay_s is not None and reply:
            for delay_s in (fate.delay_s, *(max(fate.delay_s, copy_s) for copy_s in fate.copies_s)):
                self._deliver(delay_s, reply)
        if fate.stranger_s is not None:
            self._deliver(fate.stranger_s, bytes((STRANGER,)) + self._instrument.answer(request)[1:])

    def _deliver(self, delay_s: float, octets: bytes) -> None:
        if self._is_ascii:
            frame = b":" + (octets + bytes((-sum(octets) & 0xFF,))).hex().upper().encode() + b"\r\n"
        else:
            frame = octets + crc16_modbus(octets).to_bytes(2, "little")
        asyncio.get_running_loop().call_later(delay_s, self._inbox.feed, frame)


def group(name: str, addresses: range | list[int], unit: int = 1, max_hole: int = 16) -> Group:
    return Group(
        name=name,
        device_name=f"d{unit}",
        device=KIND.device(unit=unit, max_hole=max_hole),
        tags=tuple(f"{name}.{at}" for at in addresses),
        sources=tuple(KIND.source(address=at) for at in addresses),
    )


GROUPS = (
    group("one", [7]),
    group("other", [70]),
    group("three", range(10, 13)),
    group("others", range(40, 43)),
    group("apart", [300, 340], max_hole=0),
    group("second", [7], unit=2),
)
SET = group("set", [900])


def driver_on(wire: Wire, is_ascii: bool):
    url = "ascii:///dev/ttyS0" if is_ascii else "rtu:///dev/ttyS0"
    made = KIND.settings(url=url, baud=115_200, timeout_s=TIMEOUT_S, late_max_s=LATE_MAX_S)
    return KIND.build(made, [*GROUPS, SET], clock=mono_ns, line=wire)


steps = st.lists(
    st.tuples(st.sampled_from(GROUPS), st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.4]), fates, fates), max_size=30
)


@given(steps, st.booleans())
@settings(deadline=None)
def test_late_reply_never_answers_another_request(steps, is_ascii):
    async def story() -> None:
        instrument, doom = Instrument(), [fate for _, _, *both in steps for fate in both]
        driver = driver_on(Wire(instrument, is_ascii, doom), is_ascii)
        await driver.open()
        for wanted, pause_s, *_ in steps:
            await asyncio.sleep(pause_s)
            before = instrument.served
            try:
                scan = await driver.read(wanted)
            except DriverError:
                continue
            assert all(value > before for value, quality in zip(scan.values, scan.quality, strict=True) if quality == 0)
        await driver.close()

    run(story)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.0, 0.4]), fates, fates, fates), max_size=20),
    st.booleans(),
)
@settings(deadline=None)
def test_write_is_confirmed_only_if_the_instrument_holds_it(steps, is_ascii):
    async def story() -> None:
        instrument, doom = Instrument(), [fate for _, _, *all_three in steps for fate in all_three]
        driver = driver_on(Wire(instrument, is_ascii, doom), is_ascii)
        await driver.open()
        for value, pause_s, *_ in steps:
            await asyncio.sleep(pause_s)
            try:
                await driver.write(SET, "set.900", value)
            except DriverError:
                continue
            assert instrument.held[1, 900] == value
        await driver.close()

    run(story)


def story_of(doom: list[Fate], wanted: Group, reads: int) -> tuple[list, list[bytes]]:
    """Read a group so many times, with no pause; return what came of each, and the requests that were sent."""
    told, sent = [], []

    async def story() -> None:
        wire = Wire(Instrument(), False, doom[::-1])
        driver = driver_on(wire, False)
        write = wire.write

        async def note(data: bytes) -> None:
            sent.append(data)
            await write(data)

        wire.write = note
        await driver.open()
        for _ in range(reads):
            try:
                told.append((await driver.read(wanted)).values)
            except DriverError as error:
                told.append(type(error))
        await driver.close()

    run(story)
    return told, sent


def counts(sent: list[bytes]) -> list[int]:
    return [int.from_bytes(data[4:6], "big") for data in sent]


def test_unit_that_was_late_is_asked_for_another_length_at_once():
    told, sent = story_of([Fate(delay_s=0.15)], GROUPS[0], 2)
    assert told == [LinkTimeoutError, (2,)]
    assert counts(sent) == [1, 2]


def test_block_of_a_unit_that_was_late_is_cut_in_two():
    told, sent = story_of([Fate(delay_s=0.15)], GROUPS[2], 2)
    assert told == [LinkTimeoutError, (2, 3, 3)]
    assert counts(sent) == [3, 1, 2]


def test_silent_unit_is_never_asked_the_same_twice_while_it_may_answer():
    told, sent = story_of([Fate(delay_s=None)] * 9, GROUPS[0], 9)
    assert told == [LinkTimeoutError] * 9
    asked = counts(sent)
    assert all(len({*asked[at : at + 3]}) == 3 for at in range(len(asked) - 2))


def test_unit_that_refuses_another_length_is_left_alone_only_until_it_cannot_be_late():
    doom = [Fate(delay_s=None), *[Fate(refused=True)] * 4]

    async def story() -> None:
        driver = driver_on(Wire(Instrument(), False, doom[::-1]), False)
        await driver.open()
        for _ in range(5):
            with pytest.raises(LinkTimeoutError):
                await driver.read(GROUPS[0])
        await asyncio.sleep(TIMEOUT_S + LATE_MAX_S + 0.01 - now_s())
        assert (await driver.read(GROUPS[0])).quality == (0,)
        await driver.close()

    run(story)


def test_another_unit_is_asked_as_ever_while_one_is_silent():
    async def story() -> None:
        wire = Wire(Instrument(), False, [Fate(delay_s=None)])
        driver = driver_on(wire, False)
        await driver.open()
        with pytest.raises(LinkTimeoutError):
            await driver.read(GROUPS[0])
        assert (await driver.read(GROUPS[5])).quality == (0,)
        await driver.close()

    run(story)
