import asyncio
import contextlib
import os
import socket
import sys

import pytest

from edge.cli import load
from lab.control import Control, is_running, trigger
from lab.district import MARKER, prepare
from lab.errors import LabError
from lab.processes import Child, descendants, free_port, run_once
from lab.proxy import Link
from lab.site_file import read_exceptions, read_rules, render
from lab.stations import STATIONS
from lab.truth import Truth

UNCOUNTED = {
    *(f"fire-1.{name}" for name in ("component", "component-counts", "pump", "system", "system-counts", "transmitter")),
    "shake.velocity",
}
"""Groups without a counter: states are told when they change, motion when there is any."""


@pytest.mark.parametrize("make", STATIONS, ids=lambda make: make.gateway)
async def test_a_gateway_takes_its_file_and_reads_as_many_values_as_are_served(make, tmp_path):
    station = make(Truth([]))
    await station.open()
    text = render(make.gateway, {**station.places, "broker": "127.0.0.1:1883", "health_port": 9101, "page_port": 9102})
    await station.close()
    file = tmp_path / "gateway.toml"
    file.write_text(text, "utf-8")
    _, configuration = load(file)
    groups = {scan_group.group.name: scan_group.group for bus in configuration.buses for scan_group in bus.groups}
    waves = {seismic.source for seismic in configuration.stations}
    assert set(groups) - UNCOUNTED - waves == {ledger.group for ledger in station.ledgers}
    by_exception = set(configuration.reports)
    assert {(make.gateway, tag) for tag in by_exception} == read_exceptions(text)
    for ledger in station.ledgers:
        assert len(set(groups[ledger.group].tags) - by_exception) == ledger.values
        assert ledger.counter in groups[ledger.group].tags
    acting = {(rule.name, rule.limit, rule.deadband, rule.off_delay_s) for rule in configuration.alarms if rule.outputs}
    assert acting == {(rule.alarm, rule.limit, rule.deadband, rule.off_delay_s) for rule in read_rules(text)}


def test_a_demo_empties_the_folder_of_an_earlier_demo_only(tmp_path):
    folder = tmp_path / "demo"
    prepare(folder)
    (folder / "old.db").touch()
    prepare(folder)
    assert [file.name for file in folder.iterdir()] == [MARKER]
    (folder / MARKER).unlink()
    (folder / "thesis.txt").touch()
    with pytest.raises(LabError, match="something else"):
        prepare(folder)
    assert (folder / "thesis.txt").exists()


async def test_a_second_demo_on_the_folder_of_a_running_one_is_refused(tmp_path):
    prepare(tmp_path / "demo")
    control = Control({})
    await control.open(tmp_path / "demo")
    try:
        with pytest.raises(LabError, match="a demo runs"):
            prepare(tmp_path / "demo")
    finally:
        await control.close()
    assert not is_running(tmp_path / "demo")


async def test_a_trigger_reaches_the_scenario_and_returns_its_words(tmp_path):
    async def quake():
        return "it shakes"

    async def link_lost():
        raise LabError("cut already")

    control = Control({"quake": quake, "link-lost": link_lost})
    await control.open(tmp_path)
    try:
        assert await asyncio.to_thread(trigger, tmp_path, "quake") == "it shakes"
        with pytest.raises(LabError, match="cut already"):
            await asyncio.to_thread(trigger, tmp_path, "link-lost")
        with pytest.raises(LabError, match="no scenario 'flood'"):
            await asyncio.to_thread(trigger, tmp_path, "flood")
    finally:
        await control.close()
    with pytest.raises(LabError, match="no demo runs"):
        trigger(tmp_path, "quake")


async def test_a_cut_link_breaks_and_refuses_and_a_healed_one_forwards():
    async def echo(reader, writer):
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(100):
                writer.write(octets)
        writer.close()

    def ask(port):
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 2.0) as line:
            line.sendall(b"hello")
            return line.recv(5)
        return b""

    def hold(port):
        line = socket.create_connection(("127.0.0.1", port), 2.0)
        line.sendall(b"hello")
        return line, line.recv(5)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1])
    port = await link.open()
    held, heard = await asyncio.to_thread(hold, port)
    with held:
        assert heard == b"hello"
        link.cut()
        assert await asyncio.to_thread(held.recv, 5) == b""
    assert await asyncio.to_thread(ask, port) == b""
    link.heal()
    assert await asyncio.to_thread(ask, port) == b"hello"
    await link.close()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)


async def test_a_child_that_ends_by_itself_is_told_with_its_last_words(tmp_path):
    child = Child("the broker", tmp_path / "broker.log")
    await child.start([sys.executable, "-c", "print('port in use'); raise SystemExit(3)"])
    await child.ended()
    with pytest.raises(LabError, match=r"(?s)the broker has ended \(3\).*port in use"):
        child.check()
    await child.stop()


async def test_a_child_is_found_among_our_own_and_ended(tmp_path):
    child = Child("a sleeper", tmp_path / "log")
    await child.start([sys.executable, "-c", "import time; time.sleep(60)"])
    assert "time.sleep(60)" in descendants(os.getpid())[child.pid]
    await child.stop()
    assert not child.is_running
    await child.stop()


async def test_a_command_that_fails_is_told_with_its_words():
    with pytest.raises(LabError, match="no such luck"):
        await run_once([sys.executable, "-c", "import sys; sys.exit('no such luck')"])


def test_a_taken_port_gives_way_to_a_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)
    assert free_port(port) == port
