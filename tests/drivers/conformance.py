"""What every driver must do, whatever it talks to. Each check takes a case whose capture holds the expected scans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import pytest

from drivers.base import Driver, Polled, Streaming, find
from drivers.errors import DriverError, LinkError, SettingsError
from drivers.replay import Step
from tests.drivers.cases import Bench, Case, columns, expected_columns, groups_of

SOON_S = 2.0
"""Longer than any time-out in a case."""

LONG_S = 3600.0

AT_ONCE = 8
"""Lines of which one octet is wrong: most end in a time-out of the driver, for which they wait together."""

OWN_KEYS = {
    "settings": {"name", "kind"},
    "device": {"name", "title", "bus", "profile", "group"},
    "source": {"name", "title", "unit", "low", "high", "alarm", "motion"},
}
"""Keys of a configuration file that a driver's models must leave free."""


async def acquires_what_the_capture_holds(case: Case) -> None:
    bench = Bench(case)
    await bench.driver.open()
    scans = await asyncio.wait_for(bench.scans(), SOON_S)
    await bench.driver.close()
    assert columns(scans) == expected_columns(case)
    assert getattr(bench.driver, "faults", 0) == case.faults
    now = bench.clock()
    assert all(0 < scan.mono_ns <= now for scan in scans)


async def fits_the_contract(case: Case) -> None:
    driver = Bench(case).driver
    assert isinstance(driver, Polled) != isinstance(driver, Streaming)


async def exports_its_models(case: Case) -> None:
    kind = find(case.kind)
    for level, model in (("settings", kind.settings), ("device", kind.device), ("source", kind.source)):
        schema = msgspec.json.schema(model)
        definition = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        assert definition["type"] == "object"
        assert definition.get("additionalProperties") is False, f"{level} takes fields it does not know"
        assert model.__struct_config__.frozen, f"{level} is not frozen"
        taken = OWN_KEYS[level] & set(definition["properties"])
        assert not taken, f"{level} takes {taken}, which the configuration needs itself"


async def refuses_a_line_that_is_none(case: Case) -> None:
    kind = find(case.kind)
    for url in ("nonsense", "gopher://host:1", "tcp://host:99999", "tcp://"):
        settings = msgspec.convert(case.settings | {"url": url}, kind.settings)
        with pytest.raises(SettingsError):
            kind.build(settings, groups_of(case))


async def closes_at_any_time(case: Case) -> None:
    bench = Bench(case)
    await bench.driver.close()
    await bench.driver.close()
    await bench.driver.open()
    await bench.driver.close()
    await bench.driver.close()


async def reads_nothing_before_it_is_open(case: Case) -> None:
    bench = Bench(case)
    with pytest.raises(LinkError):
        await asyncio.wait_for(bench.scans(), SOON_S)


async def can_be_cancelled_and_used_again(case: Case) -> None:
    bench = Bench(case, _mute(case.steps))
    await bench.driver.open()
    waiting = asyncio.create_task(bench.scans())
    await asyncio.sleep(0.005)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await bench.driver.close()
    await _recovers(bench)


async def a_waiting_read_ends_when_it_is_closed(case: Case) -> None:
    bench = Bench(case, _mute(case.steps))
    await bench.driver.open()
    waiting = asyncio.create_task(bench.scans())
    await asyncio.sleep(0.005)
    await bench.driver.close()
    with pytest.raises(LinkError):
        await asyncio.wait_for(waiting, SOON_S)


async def a_line_that_fails_is_a_link_error_and_can_be_opened_again(case: Case) -> None:
    bench = Bench(case, _mute(case.steps), hangs_up=True)
    with pytest.raises(LinkError):
        await _run(bench)
    await bench.driver.close()
    await _recovers(bench)


async def truncated_frames_end_in_its_own_errors(case: Case) -> None:
    for steps in _truncations(case.steps):
        bench = Bench(case, steps)
        with pytest.raises(DriverError):
            await _run(bench)
        await bench.driver.close()
        await _recovers(bench)


async def garbled_frames_never_give_a_wrong_value(case: Case) -> None:
    """Without a checksum a wrong value cannot be told, but it must be a scan or a driver's error all the same."""
    expected = expected_columns(case)

    async def acquire(steps: tuple[Step, ...]) -> None:
        bench = Bench(case, steps)
        try:
            scans = columns(await _run(bench))
        except DriverError:
            pass
        else:
            assert not case.checksum or all(scan in expected for scan in scans)
        await bench.driver.close()

    garblings = list(_garblings(case.steps))
    for first in range(0, len(garblings), AT_ONCE):
        await asyncio.gather(*map(acquire, garblings[first : first + AT_ONCE]))


CHECKS: tuple[Callable[[Case], Awaitable[None]], ...] = (
    acquires_what_the_capture_holds,
    fits_the_contract,
    exports_its_models,
    refuses_a_line_that_is_none,
    closes_at_any_time,
    reads_nothing_before_it_is_open,
    can_be_cancelled_and_used_again,
    a_waiting_read_ends_when_it_is_closed,
    a_line_that_fails_is_a_link_error_and_can_be_opened_again,
    truncated_frames_end_in_its_own_errors,
    garbled_frames_never_give_a_wrong_value,
)


async def _run(bench: Bench) -> list:
    await bench.driver.open()
    return await asyncio.wait_for(bench.scans(), SOON_S)


async def _recovers(bench: Bench) -> None:
    """The same driver, later, on a line that works."""
    driver: Driver = bench.driver
    bench.clock.advance(LONG_S)
    bench.line.load(bench.case.steps)
    await driver.open()
    scans = await asyncio.wait_for(bench.scans(), SOON_S)
    await driver.close()
    assert columns(scans) == expected_columns(bench.case)


def _mute(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Keep what is sent, drop what comes: an instrument that is silent from the start."""
    return steps[:1] if steps[0].sent else ()


def _truncations(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Cut the capture short within its first received octets, then silence."""
    first = next(index for index, step in enumerate(steps) if not step.sent)
    data = steps[first].data
    for cut in sorted({0, 1, 2, len(data) // 2, len(data) - 1} & set(range(len(data)))):
        yield (*steps[:first], Step(False, data[:cut]))


def _garblings(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Flip one bit of the received octets, each octet in turn."""
    for index, step in enumerate(steps):
        if step.sent:
            continue
        for at in range(len(step.data)):
            data = bytearray(step.data)
            data[at] ^= 1 << (at % 8)
            yield (*steps[:index], Step(False, bytes(data)), *steps[index + 1 :])
