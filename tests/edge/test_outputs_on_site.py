"""A running configuration and its outputs: real coils, programs, keys and faults, and what is left when it ends."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pyModbusTCP.server import ModbusServer

from edge.acquisition import Acquisition
from edge.outputs import Means
from edge.settings import Configuration
from edge.supervise import end
from tests.edge.test_pipeline import configuration
from tests.servers import modbus_server
from wire.alarm import Standing
from wire.record import ActionRecord, AlarmRecord, Layout, Record, ScanRecord

pytestmark = pytest.mark.peer
SIREN, KEY, VALVE = 5, 6, 7


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    with modbus_server() as server:
        yield server


class Kit:
    """Store, newest values and clock in one: what the acquisition tells them."""

    def __init__(self) -> None:
        self.events: list[Record] = []
        self.mono_ns = time.monotonic_ns

    def wall_at(self, mono_ns: int) -> int:
        return mono_ns

    def put_scan(self, record: ScanRecord, layout: Layout) -> None:
        assert len(record.values) == len(layout.tags)

    def put_event(self, record: Record) -> None:
        self.events.append(record)

    def put_audit(self, event: str, detail: str) -> None:
        raise AssertionError(f"{event}: {detail}")

    def put(self, *scan: Any) -> None:
        assert scan

    async def commit(self) -> bool:
        return True

    def actions(self, output: str = "siren") -> list[tuple[str, str]]:
        return [(r.state, r.cause) for r in self.events if isinstance(r, ActionRecord) and r.output == output]


def document(plc: ModbusServer, *outputs: dict[str, Any]) -> dict[str, Any]:
    rule = {"level": "high", "limit": 900, "outputs": [output["name"] for output in outputs]}
    coils = {"siren": SIREN, "key": KEY, "valve": VALVE}
    tags = [{"name": "level", "function": 3, "address": 0, "type": "u16", "alarm": [rule]}]
    tags += [{"name": name, "function": 1, "address": address} for name, address in coils.items()]
    return {
        "bus": [{"name": "plc", "kind": "modbus", "url": f"tcp://127.0.0.1:{plc.port}", "timeout_s": 0.5}],
        "device": [{"name": "tank", "bus": "plc", "unit": 1, "group": [{"name": "fast", "poll_s": 0.05, "tag": tags}]}],
        "output": list(outputs),
    }


COIL = {"name": "siren", "tag": "tank.siren"}


@asynccontextmanager
async def running(
    kit: Kit, made: Configuration, means: Means | None = None, coming: Configuration | None = None
) -> AsyncIterator[Acquisition]:
    means = means or Means(gateway="gw-test-0001", programs=Path("/nonexistent"))
    acquisition = Acquisition(made, kit, kit, kit, {}, random.Random(1), means)  # type: ignore[arg-type]
    task = asyncio.create_task(acquisition.run())
    yield acquisition
    await end(task)
    await acquisition.leave(coming)


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def coil(plc: ModbusServer, address: int = SIREN) -> bool:
    (value,) = plc.data_bank.get_coils(address, 1)
    return bool(value)


async def test_coil_follows_the_alarm_and_is_left_off_when_the_agent_ends(plc) -> None:
    kit = Kit()
    async with running(kit, configuration(document(plc, COIL))) as acquisition:
        await until(lambda: acquisition.outputs()["siren"].state == "off")
        plc.data_bank.set_holding_registers(0, [950])
        await until(lambda: acquisition.outputs()["siren"].state == "on")
        assert coil(plc)
    assert not coil(plc)
    assert kit.actions() == [("off", "start"), ("on", "tank.level:high"), ("off", "stop")]


async def test_output_that_another_configuration_has_not_is_brought_to_its_fail_safe_state(plc) -> None:
    kit = Kit()
    trip = {"name": "valve", "tag": "tank.valve", "fail_safe": "on"}
    coming = configuration(document(plc, {**COIL, "title": "警报"}))
    async with running(kit, configuration(document(plc, COIL, trip)), coming=coming) as acquisition:
        await until(lambda: acquisition.outputs()["siren"].state == "off")
        plc.data_bank.set_holding_registers(0, [950])
        await until(lambda: acquisition.outputs()["siren"].state == "on")
        plc.data_bank.set_holding_registers(0, [10])
        await until(lambda: acquisition.outputs()["valve"].state == "off")
        plc.data_bank.set_holding_registers(0, [950])
        await until(lambda: acquisition.outputs()["siren"].state == "on")
    assert coil(plc), "what remains is not switched in between"
    assert coil(plc, VALVE)


async def test_output_that_does_not_answer_is_an_alarm_and_holds_up_no_other(plc, tmp_path) -> None:
    kit = Kit()
    broken = {"name": "caller", "program": "call"}
    means = Means(gateway="gw-test-0001", programs=tmp_path)
    async with running(kit, configuration(document(plc, broken, COIL)), means) as acquisition:
        await until(lambda: any(alarm.name == "caller:output-fault" for alarm in acquisition.alarms()))
        plc.data_bank.set_holding_registers(0, [950])
        await until(lambda: coil(plc))
        (tmp_path / "call").write_text("#!/bin/sh\n")
        (tmp_path / "call").chmod(0o755)
        await until(lambda: acquisition.outputs()["caller"].state == "on")
    faults = [r for r in kit.events if isinstance(r, AlarmRecord) and r.level == "output-fault"]
    assert [(r.alarm, r.change, r.priority, r.standing) for r in faults] == [
        ("caller:output-fault", "raised", 1, Standing.ACTIVE | Standing.UNACKNOWLEDGED),
        ("caller:output-fault", "cleared", 1, Standing.UNACKNOWLEDGED),
    ]


async def test_fault_of_one_output_may_drive_another(plc, tmp_path) -> None:
    kit = Kit()
    made = document(plc, {"name": "caller", "program": "call"}, COIL)
    made["alarm"] = [{"level": "output-fault", "name": "caller", "outputs": ["siren"], "priority": 2}]
    means = Means(gateway="gw-test-0001", programs=tmp_path)
    async with running(kit, configuration(made), means):
        await until(lambda: coil(plc))
        await until(lambda: ("on", "caller:output-fault") in kit.actions())


async def test_maintenance_key_on_site_keeps_the_siren_off_until_it_is_turned_back(plc) -> None:
    kit = Kit()
    plc.data_bank.set_coils(KEY, [True])
    async with running(kit, configuration(document(plc, {**COIL, "inhibit": "tank.key"}))) as acquisition:
        await until(lambda: acquisition.outputs()["siren"].state == "inhibited")
        plc.data_bank.set_holding_registers(0, [950])
        await until(acquisition.alarms)
        await asyncio.sleep(0.2)
        assert not coil(plc)
        plc.data_bank.set_coils(KEY, [False])
        await until(lambda: coil(plc))
    states = [state for state, _ in kit.actions()]
    assert [state for state in states if state.endswith("inhibited")] == ["inhibited", "uninhibited"]


async def test_interlock_moves_nothing_without_the_key_file_of_the_gateway(plc, tmp_path) -> None:
    kit = Kit()
    key = tmp_path / "interlock.key"
    means = Means(gateway="gw-test-0001", programs=tmp_path, key_file=key)
    valve = {"name": "valve", "tag": "tank.valve", "interlock": True, "fail_safe": "on"}
    plc.data_bank.set_holding_registers(0, [950])
    async with running(kit, configuration(document(plc, valve, COIL)), means) as acquisition:
        await until(lambda: coil(plc))
        assert not coil(plc, VALVE)
        health = acquisition.outputs()["valve"]
        assert (health.state, "cannot be opened" in health.error) == ("locked", True)
    assert not coil(plc, VALVE)
    key.write_text('gateway = "gw-test-0001"\noutputs = ["valve"]\n')
    key.chmod(0o600)
    async with running(kit, configuration(document(plc, valve)), means):
        await until(lambda: coil(plc, VALVE))
    assert kit.actions("valve")[0] == ("locked", "start")
    assert kit.actions("valve")[-1][0] == "on"


async def test_output_that_takes_no_notice_of_the_end_is_told_again(plc) -> None:
    async def run() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async with running(Kit(), configuration(document(plc, COIL))) as acquisition:
        acquisition._outputs["siren"].run = run  # type: ignore[method-assign]
        await asyncio.sleep(0.1)
