"""What a gateway tells a technician, and trials of outputs: alarms, maintenance keys and interlocks go first."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.checklist import check_bus, check_clock, check_device, check_output, compose
from edge.operating import OperationError
from tests.edge.test_outputs_on_site import COIL, Kit, coil, configuration, document, plc, running, until
from wire.health import BusHealth, GroupHealth, OutputHealth
from wire.sample import Quality
from wire.twin import DeviceInfo

__all__ = ["plc"]
TANK = DeviceInfo(name="tank", title="1# 罐", bus="plc")
UP, DOWN = BusHealth(kind="modbus", up=True), BusHealth(kind="modbus", up=False, error="refused")
BAD = [GroupHealth(due=2, bad=2)]


def test_a_clock_that_nothing_sets_fails_by_name() -> None:
    assert [check_clock(one).fault for one in ("synced", "holdover", "told", "unset")] == [
        "", "", "clock-told", "clock-unset",
    ]  # fmt: skip


def test_a_bus_that_was_not_tried_waits_and_one_that_cannot_be_opened_fails() -> None:
    assert [check_bus("plc", one).state for one in (UP, DOWN, replace(DOWN, error=""))] == ["done", "failed", "waiting"]


@pytest.mark.parametrize(
    ("bus", "groups", "quality", "state", "fault"),
    [
        (UP, [GroupHealth()], Quality.GOOD, "waiting", ""),
        (UP, [GroupHealth(due=1, good=1)], Quality.GOOD, "done", ""),
        (DOWN, BAD, Quality.BAD_LINK, "failed", "device-line"),
        (UP, BAD, Quality.BAD_TIMEOUT, "failed", "device-silent"),
        (UP, BAD, Quality.BAD_FRAME, "failed", "device-garbled"),
        (UP, BAD, Quality.BAD_DEVICE, "failed", "device-refuses"),
    ],
)
def test_a_device_stands_as_its_samples_say(bus: Any, groups: Any, quality: int, state: str, fault: str) -> None:
    check = check_device(TANK, bus, groups, {"液位": ((52.0, quality), "%")})
    assert (check.state, check.fault) == (state, fault)
    assert check.detail == "液位 52 %" if state == "done" else True


def test_the_first_good_sample_stays_and_is_not_looked_for_again() -> None:
    asked: list[str] = []

    def read(device: str) -> Any:
        asked.append(device)
        return {"液位": ((float(len(asked)), 0), "%")}

    good = {"tank.fast": GroupHealth(due=1, good=1)}
    first = compose("synced", {"plc": UP}, good, [TANK], {}, read)
    assert compose("synced", {"plc": UP}, good, [TANK], {}, read, first) == first
    assert asked == ["tank"]


def test_an_output_that_does_not_switch_fails() -> None:
    states = [OutputHealth(state="off"), OutputHealth(state="off", error="no answer"), OutputHealth(state="unknown")]
    assert [check_output("siren", "", one).state for one in states] == ["done", "failed", "waiting"]


async def test_a_trial_sounds_for_its_time_and_is_journalled_as_a_test(plc: Any) -> None:
    kit = Kit()
    async with running(kit, configuration(document(plc, COIL))) as acquisition:
        await until(lambda: acquisition.outputs()["siren"].state == "off")
        acquisition.test_output("siren", 0.3)
        await until(lambda: coil(plc))
        await until(lambda: not coil(plc))
        with pytest.raises(OperationError, match="no output 'horn'"):
            acquisition.test_output("horn", 1)
    assert kit.actions()[:3] == [("off", "start"), ("test", "test"), ("off", "test")]


async def test_an_alarm_during_a_trial_takes_over_and_its_end_silences_nothing(plc: Any) -> None:
    kit = Kit()
    async with running(kit, configuration(document(plc, COIL))) as acquisition:
        await until(lambda: acquisition.outputs()["siren"].state == "off")
        acquisition.test_output("siren", 0.5)
        await until(lambda: acquisition.outputs()["siren"].state == "test")
        plc.data_bank.set_holding_registers(0, [950])
        await until(lambda: acquisition.outputs()["siren"].state == "on")
        with pytest.raises(OperationError, match="an alarm holds it on"):
            acquisition.test_output("siren", 1)
        plc.data_bank.set_holding_registers(0, [100])
        await until(lambda: not coil(plc))
    assert [state for state, _ in kit.actions()[:4]] == ["off", "test", "on", "off"]


async def test_a_maintenance_key_and_an_interlock_keep_a_trial_off(plc: Any) -> None:
    kit = Kit()
    locked = {"name": "valve", "tag": "tank.valve", "interlock": True}
    made = configuration(document(plc, {**COIL, "inhibit": "tank.key"}, locked))
    plc.data_bank.set_coils(6, [True])
    async with running(kit, made) as acquisition:
        await until(lambda: acquisition.outputs()["siren"].state == "inhibited")
        for name, why in (("siren", "maintenance key"), ("valve", "interlock")):
            with pytest.raises(OperationError, match=why):
                acquisition.test_output(name, 1)
    assert not coil(plc)
