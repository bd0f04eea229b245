"""How a serial port is opened: locked, set, and checked that it took the settings. Blocks; run it in a thread."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import serial
from serial.rs485 import RS485Settings

from drivers.errors import LinkError, SettingsError
from drivers.transport.settings import LineSettings

PTY_MAJORS = range(136, 144)
"""Device numbers of pseudo terminals, which have no wire: they take any speed and keep 8 bits without parity."""

TCGETS2 = 0x802C542A
TERMIOS2 = struct.Struct("=4I20s2I")
"""Linux' struct termios2 (asm-generic/termbits.h): flags, control characters, and the two speeds as plain numbers."""

BAUD_TOLERANCE = 0.03
"""How far a port's divider may miss the speed: an octet of 11 bits still ends within its last bit."""

DATA_BITS = {termios.CS5: 5, termios.CS6: 6, termios.CS7: 7, termios.CS8: 8}
OTHER_FORM = "set the instrument to what the port can do, or use another adapter"
REFUSALS = {errno.EINVAL, errno.ENOTTY}
"""How setting a port fails for good."""
BY_ID = Path("/dev/serial/by-id")


def open_port(path: str, settings: LineSettings) -> serial.Serial:
    """Open, lock and set a port. Raises LinkError, SettingsError."""
    is_pty = _look_up(path)
    try:
        port = _open(path, settings, is_pty)
    except ValueError as error:
        raise _refused(path, settings, error) from error
    except termios.error as error:
        if error.args[0] in REFUSALS:
            raise _refused(path, settings, error) from error
        raise _gone(path, error) from error
    except OSError as error:
        raise _not_ours(path, error) from error
    try:
        fcntl.ioctl(port.fd, termios.TIOCEXCL)
        taken = None if is_pty else read_back(port.fd)
        if taken is not None:
            check_taken(path, settings, *taken)
        _set_direction(port, settings)
    except OSError as error:
        port.close()
        raise _gone(path, error) from error
    except SettingsError:
        port.close()
        raise
    with contextlib.suppress(ValueError):
        # Not every port knows it. An FTDI adapter otherwise keeps octets back for 16 ms.
        port.set_low_latency_mode(True)
    return port


def close_port(port: serial.Serial) -> None:
    """Unlock and close a port, throwing away what was not sent: the kernel would wait up to 30 s for it."""
    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(port.fd, termios.TCIOFLUSH)
        fcntl.ioctl(port.fd, termios.TIOCNXCL)
    port.close()


def _look_up(path: str) -> bool:
    """Tell whether the path names a pseudo terminal. Raises if it names no terminal at all."""
    try:
        about = os.stat(path)
    except OSError as error:
        raise LinkError(f"cannot open {path}: {error}", hint=_ports_here()) from error
    if not stat.S_ISCHR(about.st_mode):
        raise SettingsError(f"{path} is not a serial port", hint=_ports_here())
    return os.major(about.st_rdev) in PTY_MAJORS


def _ports_here() -> str:
    with contextlib.suppress(OSError):
        return f"is it plugged in? Adapters here: {', '.join(sorted(map(str, BY_ID.iterdir())))}"
    return "is it plugged in? No adapter is listed in /dev/serial/by-id"


def _open(path: str, settings: LineSettings, is_pty: bool) -> serial.Serial:
    port = serial.Serial(baudrate=settings.baud, timeout=0, exclusive=True)
    if not is_pty:
        port.bytesize, port.parity, port.stopbits = settings.data_bits, settings.parity, settings.stop_bits
    port.port = path
    port.open()
    return port


def _refused(path: str, settings: LineSettings, error: Exception) -> SettingsError:
    return SettingsError(f"{path} cannot do {_form(settings)}: {error}", hint=OTHER_FORM)


def _gone(path: str, error: Exception) -> LinkError:
    return LinkError(f"{path} is gone: {error}", hint="is the adapter plugged in?")


def _not_ours(path: str, error: OSError) -> LinkError:
    if error.errno not in {errno.EAGAIN, errno.EBUSY}:
        return LinkError(f"cannot open {path}: {error}", hint="may we use it (group dialout)?")
    holders = ", ".join(_holders(path)) or "another program"
    return LinkError(f"cannot lock {path}: in use by {holders}", hint="end that program first")


def _holders(path: str) -> Iterator[str]:
    """Name the programs that have a device open, as far as /proc lets us see."""
    with contextlib.suppress(OSError):
        device = os.stat(path).st_rdev
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if any(_is_device(file, device) for file in (process / "fd").iterdir()):
                    yield f"{(process / 'comm').read_text().strip()} (process {process.name})"


def _is_device(file: Path, device: int) -> bool:
    try:
        about = file.stat()
    except OSError:
        return False
    return stat.S_ISCHR(about.st_mode) and about.st_rdev == device


def read_back(fd: int) -> tuple[int, int] | None:
    """Return the control flags and the speed that a port has; None where the machine has no such call.

    POSIX lets a driver ignore what its hardware cannot do.
    """
    buffer = bytearray(TERMIOS2.size)
    try:
        fcntl.ioctl(fd, TCGETS2, buffer)
    except OSError:
        return None
    fields = TERMIOS2.unpack(buffer)
    return fields[2], fields[6]


def check_taken(path: str, settings: LineSettings, flags: int, baud: int) -> None:
    """Compare what a port took (``flags`` as termios' c_cflag) with what was asked. Raises SettingsError."""
    parity = ("O" if flags & termios.PARODD else "E") if flags & termios.PARENB else "N"
    data_bits = DATA_BITS[flags & termios.CSIZE]
    stop_bits = 2 if flags & termios.CSTOPB else 1
    is_same = (data_bits, parity, stop_bits) == (settings.data_bits, settings.parity, settings.stop_bits)
    if not is_same or abs(baud - settings.baud) > BAUD_TOLERANCE * settings.baud:
        raise SettingsError(
            f"{path} cannot do {_form(settings)}: it took {baud} baud {data_bits}{parity}{stop_bits}", hint=OTHER_FORM
        )


def _form(settings: LineSettings) -> str:
    return f"{settings.baud} baud {settings.data_bits}{settings.parity}{settings.stop_bits}"


def _set_direction(port: serial.Serial, settings: LineSettings) -> None:
    """Make the port ready for half duplex. Raises SettingsError if it cannot."""
    try:
        if settings.rs485 == "kernel":
            port.rs485_mode = RS485Settings(
                delay_before_tx=settings.rs485_before_ms / 1e3, delay_before_rx=settings.rs485_after_ms / 1e3
            )
        elif settings.rs485 == "rts":
            # pyserial swallows it where a port has no RTS at all.
            fcntl.ioctl(port.fd, termios.TIOCMGET, bytearray(4))
            port.rts = False
    except (OSError, ValueError) as error:
        raise SettingsError(
            f'{port.name} cannot do rs485 = "{settings.rs485}": {error}',
            hint='most USB adapters turn around by themselves: use rs485 = "off"',
        ) from error
