import asyncio
import fcntl
import os
import pty
import select
import sys
import termios
import threading
import time
import tty

import pytest

from drivers.errors import LinkError, SettingsError
from drivers.transport import HELD_OCTETS, LineSettings, Serial
from drivers.transport.serial_setup import check_taken, read_back


@pytest.fixture
def port():
    """A pty: (master, path of the port)."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    yield master, path
    os.close(slave)
    os.close(master)


def heard(master, count):
    """The next octets out of the port: the kernel hands them over a moment after they were written."""
    octets = b""
    while len(octets) < count and select.select([master], [], [], 5)[0]:
        octets += os.read(master, count - len(octets))
    return octets


def serial_line(path: str, **settings) -> Serial:
    return Serial(path, LineSettings(url=f"serial://{path}", **settings))


async def test_serial_port_carries_octets_both_ways(port):
    master, path = port
    line = serial_line(path)
    await line.open()
    os.write(master, b"\x00\x11\r\n\xff")
    assert await asyncio.wait_for(line.read(), 1) == b"\x00\x11\r\n\xff"
    await line.write(b"\n\x03\x04")
    assert heard(master, 3) == b"\n\x03\x04"
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
    assert f"(process {os.getpid()})" in str(caught.value)
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


async def test_port_that_vanished_is_opened_again_when_its_name_comes_back(tmp_path):
    name = tmp_path / "usb-FTDI_FT232R_A50285BI-if00-port0"
    line = serial_line(str(name))
    for sent in (b"before", b"after"):
        master, slave = pty.openpty()
        tty.setraw(slave)
        name.symlink_to(os.ttyname(slave))
        await line.open()
        os.close(slave)
        os.write(master, sent)
        assert await asyncio.wait_for(line.read(), 1) == sent
        os.close(master)
        name.unlink()
        with pytest.raises(LinkError, match="gone"):
            await asyncio.wait_for(line.read(), 1)
        with pytest.raises(LinkError, match="cannot open"):
            await line.open()


@pytest.mark.parametrize("mode", ["kernel", "rts"])
async def test_port_that_cannot_turn_around_says_so_and_stays_free(port, mode):
    _, path = port
    with pytest.raises(SettingsError, match=f'cannot do rs485 = "{mode}"') as caught:
        await serial_line(path, rs485=mode).open()
    assert "off" in caught.value.hint
    line = serial_line(path)
    await line.open()
    await line.close()


class RtsPort:
    """A port with an RTS pin, as far as a line uses it; it notes what the other end had received at each turn."""

    def __init__(self, master: int, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.is_open = True
        self.turns: list[tuple[bool, int]] = []
        self._master = master

    @property
    def rts(self) -> bool:
        return self.turns[-1][0]

    @rts.setter
    def rts(self, up: bool) -> None:
        waiting = bytearray(4)
        fcntl.ioctl(self._master, termios.FIONREAD, waiting)
        self.turns.append((up, int.from_bytes(waiting, sys.byteorder)))

    def close(self) -> None:
        self.is_open = False
        os.close(self.fd)


async def test_rts_is_up_from_before_the_first_octet_until_after_the_last(port):
    master, path = port
    pin = RtsPort(master, path)
    settings = LineSettings(url="", rs485="rts", rs485_before_ms=1, rs485_after_ms=1)
    line = Serial(path, settings, opener=lambda *_: pin)
    await line.open()
    await line.write(b"ask")
    assert pin.turns == [(True, 0), (False, 3)]
    await line.close()


async def test_rts_goes_down_when_a_write_is_broken_off(port):
    master, path = port
    pin = RtsPort(master, path)
    settings = LineSettings(url="", rs485="rts", rs485_before_ms=1000)
    line = Serial(path, settings, opener=lambda *_: pin)
    await line.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.write(b"ask"), 0.01)
    assert pin.turns == [(True, 0), (False, 0)]
    await line.close()


SEVEN_EVEN = termios.CS7 | termios.PARENB


@pytest.mark.parametrize(
    ("flags", "baud"),
    [
        (SEVEN_EVEN, 19200),
        (SEVEN_EVEN | termios.CSTOPB, 9600),
        (SEVEN_EVEN | termios.PARODD, 9600),
        (termios.CS7, 9600),
        (termios.CS8 | termios.PARENB, 9600),
        (SEVEN_EVEN, 9300),
    ],
)
def test_port_that_did_not_take_its_settings_is_a_settings_error(flags, baud):
    asked = LineSettings(url="", baud=9600, parity="E", data_bits=7)
    check_taken("ttyS0", asked, SEVEN_EVEN, 9600)
    with pytest.raises(SettingsError, match="cannot do 9600 baud 7E1"):
        check_taken("ttyS0", asked, flags, baud)


async def test_pseudo_terminal_which_has_no_parity_opens_again_and_again(port):
    _, path = port
    line = serial_line(path, parity="E", data_bits=7, stop_bits=2)
    for _ in range(3):
        await line.open()
        await line.close()


async def test_baud_rate_that_is_none_of_the_usual_is_set(port):
    _, path = port
    line = serial_line(path, baud=12345)
    await line.open()
    assert read_back(line._port.fd)[1] == 12345
    await line.close()
