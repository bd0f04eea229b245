"""What the uplink does with an agent around it and a broker that we did not write: commands, budgets, thin links."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest
from pyModbusTCP.server import ModbusServer

from edge.broker import BrokerClient
from lab.proxy import Link
from provisioning.signing import make_private_key, read_private_key, sign, write_public_key
from tests.edge.fleet import ScriptedFleet
from tests.edge.test_agent import GATEWAY, Gateway
from tests.servers import find_mosquitto, modbus_server, mosquitto
from wire.alarm import ACTIONS
from wire.command import DONE, REFUSED, Command, Order
from wire.record import AlarmRecord, AuditRecord, Lane
from wire.topics import Down

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed"),
]

NS = 1_000_000_000
KEY = read_private_key(make_private_key())
PATIENCE_S = 60.0


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    with modbus_server() as server:
        yield server


class Site:
    """An agent whose [uplink] the test writes, and its broker."""

    def __init__(self, folder: Path, plc: ModbusServer, mqtt: int) -> None:
        self.folder = folder
        self.plc = plc
        self.mqtt = mqtt
        (folder / "fleet-command.pub").write_bytes(write_public_key(KEY))

    def start(self, uplink: str, port: int | None = None, poll_s: float = 0.1) -> None:
        self.gateway = Gateway(self.folder, self.plc.port, port or self.mqtt)
        text = self.gateway.config.read_text().replace("health_s = 0.5", f"health_s = 0.5\n{uplink}")
        self.gateway.config.write_text(text.replace("poll_s = 0.1", f"poll_s = {poll_s}"))
        self.gateway.start()

    async def gather(self, records: int) -> None:
        """Wait until so many measurements are in the spool."""
        held = re.compile(r'^fengsui_edge_records_total\{lane="M",state="assigned"\} (\d+)', re.MULTILINE)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(OSError):
                    found = held.search(self.gateway.get("metrics"))
                    if found and int(found[1]) >= records:
                        return
                await asyncio.sleep(0.1)

    def has_noted_answers(self) -> bool:
        """Whether the gateway remembers of each command that it was answered."""
        document = json.loads((self.gateway.data / "commands.json").read_text())
        return all(taken["is_answered"] for taken in document["_default"]["1"]["taken"])

    def stop(self) -> None:
        if self.gateway._process is not None and self.gateway._process.poll() is None:
            self.gateway.stop(signal.SIGKILL)


@pytest.fixture
def site(tmp_path: Path, plc: ModbusServer) -> Iterator[Site]:
    with mosquitto(tmp_path) as mqtt:
        made = Site(tmp_path, plc, mqtt)
        yield made
        made.stop()


def command(command_id: str, name: str, **arguments: object) -> Command:
    now_ns = time.time_ns()
    return sign(
        KEY,
        Order(
            id=command_id,
            gateway=GATEWAY,
            name=name,
            arguments=arguments,
            issued_ns=now_ns,
            expires_ns=now_ns + 600 * NS,
            author="li",
        ),
    )


def answers(fleet: ScriptedFleet) -> list[tuple[str, str]]:
    return [(r.command, r.event) for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AuditRecord) and r.command]


async def test_commands_are_done_once_over_lost_links_and_restarts(site: Site) -> None:
    site.start('command_key_file = "fleet-command.pub"')
    async with ScriptedFleet(site.mqtt) as fleet:
        await fleet.until(lambda: len(fleet.reports) > 0, PATIENCE_S)
        assert fleet.reports[0].commands == (
            *(f"alarm-{action}" for action in sorted(ACTIONS)),
            "capture-bus",
            "hurry",
            "log-level",
            "logs",
            "output-test",
            "raise",
            "read-device",
            "reconnect",
            "report",
            "support-bundle",
        )
        report = command("c1", "report")
        for _ in range(3):
            await fleet.send(GATEWAY, Down.COMMAND, report)
        await fleet.until(lambda: len(fleet.reports) > 1, PATIENCE_S)
        await fleet.send(GATEWAY, Down.COMMAND, command("c2", "reconnect"))
        await fleet.until(lambda: len(fleet.hellos) == 2, PATIENCE_S)
        await fleet.until(lambda: answers(fleet) == [("c1", DONE), ("c2", DONE)], PATIENCE_S)
        await fleet.send(GATEWAY, Down.COMMAND, command("c3", "log-level", level="warning", minutes=5))
        await fleet.until(lambda: len(answers(fleet)) == 3, PATIENCE_S)
        await fleet.send(GATEWAY, Down.COMMAND, command("c4", "log-level", level="loud"))
        await fleet.until(lambda: answers(fleet)[2:] == [("c3", DONE), ("c4", REFUSED)], PATIENCE_S)
        assert "command-refused" not in site.gateway.log.read_text(), "that would be logged at info"
        await fleet.until(site.has_noted_answers, PATIENCE_S)  # else the next start tells that the last was interrupted
        site.gateway.stop(signal.SIGKILL)
        site.gateway.start()
        await fleet.until(lambda: len(fleet.hellos) == 3, PATIENCE_S)
        await fleet.send(GATEWAY, Down.COMMAND, report)
        await fleet.send(GATEWAY, Down.COMMAND, command("c5", "report"))
        await fleet.until(lambda: len(answers(fleet)) == 5, PATIENCE_S)
        assert answers(fleet)[4] == ("c5", DONE)
        assert fleet.missing() == []


async def test_alarm_goes_on_an_empty_budget_and_measurements_live_values_and_the_twin_wait(site: Site) -> None:
    site.start("budget_bytes_per_day = 1")
    async with ScriptedFleet(site.mqtt) as fleet:
        await fleet.until(lambda: bool(fleet.of_lane(Lane.ALARMS)), PATIENCE_S)
        site.plc.data_bank.set_holding_registers(0, [950])
        await fleet.until(lambda: any(isinstance(r, AlarmRecord) for r in fleet.of_lane(Lane.ALARMS)), PATIENCE_S)
        assert (fleet.of_lane(Lane.MEASUREMENTS), fleet.live, fleet.reports, fleet.healths) == ([], {}, [], [])
    text = site.gateway.get("metrics")
    assert "fengsui_edge_link_alarms_only 1.0" in text
    assert "fengsui_edge_link_overdrawn_bytes_total" in text
    assert "fengsui_edge_link_budget_left_bytes -" in text


async def test_mode_is_told_in_lane_a_and_by_health(site: Site) -> None:
    """A link is found too slow once a backlog has filled it."""
    link = Link(site.mqtt)
    port = await link.open()
    link.cut()
    site.start("alarms_only_below_bytes_per_s = 1000000", port, poll_s=0.02)
    try:
        async with ScriptedFleet(site.mqtt) as fleet:
            await site.gather(50)
            link.heal()
            link.up.octets_per_s = 5000

            def events() -> list[str]:
                return [r.event for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AuditRecord)]

            await fleet.until(lambda: "alarms-only" in events(), PATIENCE_S)
            await fleet.until(lambda: any(h.link.alarms_only == "rate" for h in fleet.healths), PATIENCE_S)
    finally:
        await link.close()


async def test_alarm_overtakes_a_backlog_and_the_reported_twin_on_a_thin_link(site: Site) -> None:
    link = Link(site.mqtt)
    port = await link.open()
    link.cut()
    site.start("", port, poll_s=0.05)
    try:
        async with ScriptedFleet(site.mqtt) as fleet:
            await site.gather(50)
            link.heal()
            link.up.octets_per_s = 1000
            await fleet.until(lambda: bool(fleet.of_lane(Lane.MEASUREMENTS)), PATIENCE_S)
            site.plc.data_bank.set_holding_registers(0, [950])

            def has_alarm() -> bool:
                return any(isinstance(r, AlarmRecord) for r in fleet.of_lane(Lane.ALARMS))

            await fleet.until(has_alarm, PATIENCE_S)
            assert not fleet.reports or fleet.parts, "the twin is larger than a part of this link's window"
            link.heal()
            await fleet.until(lambda: bool(fleet.reports), PATIENCE_S)
            assert fleet.parts
            assert fleet.missing() == []
    finally:
        await link.close()


async def test_broker_that_hangs_up_before_it_answers_is_left_at_once() -> None:
    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        client = BrokerClient("127.0.0.1", port, timeout=PATIENCE_S)
        with pytest.raises(aiomqtt.MqttError, match="closed before the broker answered"):
            await client.__aenter__()
