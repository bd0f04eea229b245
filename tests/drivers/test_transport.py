import asyncio
import os
import pty
import threading
import time
import tty

import pytest

from drivers.errors import LinkError, SettingsError
from drivers.replay import Replay, Step, parse_capture
from drivers.transport import HELD_OCTETS, LineSettings, Serial, Tcp, open_line
from tests.servers import free_port


@pytest.fixture
def port():
    """A pty: (master, path of the port)."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    yield master, path
    os.close(slave)
    os.close(master)


def serial_line(path: str, **settings) -> Serial:
    return Serial(path, LineSettings(url=f"serial://{path}", **settings))


async def test_serial_port_carries_octets_both_ways(port):
    master, path = port
    line = serial_line(path)
    await line.open()
    os.write(master, b"\x00\x11\r\n\xff")
    assert await asyncio.wait_for(line.read(), 1) == b"\x00\x11\r\n\xff"
    await line.write(b"\n\x03\x04")
    assert os.read(master, 10) == b"\n\x03\x04"
    await line.close()


async def test_read_that_was_cancelled_loses_no_octets(port):
    master, path = port
    line = serial_line(path)
    await line.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.read(), 0.01)
    os.write(master, b"kept")
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(line.read(), 1) == b"kept"
    await line.close()


async def test_port_that_is_in_use_is_a_link_error_with_a_hint(port):
    _, path = port
    first, second = serial_line(path), serial_line(path)
    await first.open()
    with pytest.raises(LinkError, match="lock") as caught:
        await second.open()
    assert "which program" in caught.value.hint
    await first.close()
    await second.open()
    await second.close()


async def test_port_that_is_missing_is_a_link_error(tmp_path):
    with pytest.raises(LinkError, match="cannot open"):
        await serial_line(str(tmp_path / "ttyUSB9")).open()


async def test_file_that_is_no_port_is_a_settings_error(tmp_path):
    (tmp_path / "ttyUSB0").write_text("")
    with pytest.raises(SettingsError, match="not a serial port"):
        await serial_line(str(tmp_path / "ttyUSB0")).open()


async def test_port_that_vanishes_fails_a_waiting_read_and_later_writes():
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    line = serial_line(path)
    await line.open()
    os.close(slave)
    reading = asyncio.create_task(line.read())
    await asyncio.sleep(0)
    os.close(master)
    with pytest.raises(LinkError, match="gone"):
        await asyncio.wait_for(reading, 1)
    with pytest.raises(LinkError):
        await line.write(b"x")
    await line.close()


async def test_write_waits_for_a_port_that_is_full(port):
    master, path = port
    line = serial_line(path)
    await line.open()
    data = os.urandom(200_000)
    writing = asyncio.create_task(line.write(data))
    await asyncio.sleep(0.01)
    assert not writing.done()
    got = bytearray()
    while len(got) < len(data):
        got += await asyncio.to_thread(os.read, master, 65536)
    await writing
    assert got == data
    await line.close()


async def test_write_that_waits_for_room_ends_when_the_line_is_closed(port):
    _, path = port
    line = serial_line(path)
    await line.open()
    writing = asyncio.create_task(line.write(os.urandom(200_000)))
    await asyncio.sleep(0.01)
    await line.close()
    with pytest.raises(LinkError):
        await asyncio.wait_for(writing, 1)


async def test_reader_that_is_late_stops_the_port_and_loses_nothing(port):
    master, path = port
    line = serial_line(path)
    await line.open()
    data = os.urandom(3 * HELD_OCTETS)
    writer = threading.Thread(target=_write_all, args=(master, data))
    writer.start()
    await asyncio.sleep(0.05)
    got = bytearray()
    while len(got) < len(data):
        got += await asyncio.wait_for(line.read(), 2)
    await asyncio.to_thread(writer.join)
    assert got == data
    await line.close()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


async def test_discard_takes_what_waits_in_the_kernel_too(port):
    master, path = port
    line = serial_line(path)
    await line.open()
    os.write(master, b"stale")
    time.sleep(0.02)  # noqa: ASYNC251 - the loop must not get to read it first
    assert line.discard() == 5
    os.write(master, b"fresh")
    assert await asyncio.wait_for(line.read(), 1) == b"fresh"
    await line.close()


async def test_opening_that_was_cancelled_leaves_the_port_free(port):
    _, path = port
    opening = asyncio.create_task(serial_line(path).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    line = serial_line(path)
    deadline = time.monotonic() + 2
    while True:
        try:
            await line.open()
            break
        except LinkError:
            assert time.monotonic() < deadline, "the port stayed locked"
            await asyncio.sleep(0.01)
    await line.close()


async def test_tcp_carries_octets_and_tells_when_the_other_side_closes():
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    line = Tcp("127.0.0.1", server.sockets[0].getsockname()[1])
    for _ in range(2):
        await line.open()
        await line.write(b"hello")
        assert await asyncio.wait_for(line.read(), 1) == b"HELLO"
        with pytest.raises(LinkError, match="closed the connection"):
            await asyncio.wait_for(line.read(), 1)
        with pytest.raises(LinkError):
            await line.write(b"more")
    await line.close()
    server.close()
    await server.wait_closed()


async def test_tcp_that_nobody_answers_is_a_link_error():
    with pytest.raises(LinkError, match="cannot connect"):
        await Tcp("127.0.0.1", free_port()).open()
    with pytest.raises(LinkError, match="cannot connect"):
        await Tcp("no-such-host.invalid", 502).open()


@pytest.mark.parametrize("line", [Tcp("127.0.0.1", 1), Serial("/dev/null", LineSettings(url="")), Replay(())])
async def test_line_that_is_not_open_reads_and_writes_nothing(line):
    await line.close()
    with pytest.raises(LinkError):
        await line.read()
    with pytest.raises(LinkError):
        await line.write(b"x")
    assert line.discard() == 0


def test_address_names_the_line():
    assert isinstance(open_line(LineSettings(url="serial:///dev/ttyUSB0")), Serial)
    assert isinstance(open_line(LineSettings(url="tcp://[::1]:4001")), Tcp)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("/dev/ttyUSB0", "serial://"),
        ("serial://dev/ttyUSB0", "three slashes"),
        ("tcp://192.168.1.10", ":502"),
        ("tcp://h:70000", "65535"),
        ("rtu:///dev/ttyS0", "serial://"),
    ],
)
def test_address_that_is_none_is_refused_with_the_form_to_write(url, hint):
    with pytest.raises(SettingsError) as caught:
        open_line(LineSettings(url=url))
    assert hint in caught.value.hint


def test_capture_is_read_from_text():
    text = '# a comment\n> 01 03\n\n<" $X\\r\\n\n< ff\n'
    assert parse_capture(text) == (Step(True, b"\x01\x03"), Step(False, b"$X\r\n"), Step(False, b"\xff"))
    with pytest.raises(ValueError, match="line 1"):
        parse_capture("01 03")


async def test_replay_refuses_octets_that_the_capture_did_not_send():
    line = Replay((Step(True, b"\x01\x03"), Step(False, b"\x02")))
    await line.open()
    await line.write(b"\x01")
    await line.write(b"\x03")
    assert await line.read() == b"\x02"
    assert line.is_done
    with pytest.raises(ValueError, match="its end"):
        await line.write(b"\x01")
    await line.open()
    with pytest.raises(ValueError, match="01 03"):
        await line.write(b"\x09")
