"""From the address in a configuration to a line."""

from __future__ import annotations

from urllib.parse import urlsplit

from drivers.errors import SettingsError
from drivers.transport.base import Transport
from drivers.transport.serial_port import Serial
from drivers.transport.settings import LineSettings
from drivers.transport.tcp import Tcp


def open_line(settings: LineSettings) -> Transport:
    """Make the line that the settings name, not yet open. Raises SettingsError for an address that is none."""
    return make_line(settings, tcp=("tcp",), serial_port=("serial",), port=None)


def make_line(
    settings: LineSettings, *, tcp: tuple[str, ...], serial_port: tuple[str, ...], port: int | None
) -> Transport:
    """Make a line where a driver names its schemes: ``port`` is the TCP port that may be left out."""
    scheme, host, number, path = _split(settings.url)
    if scheme in tcp:
        number = number or port
        if not host or number is None:
            raise SettingsError(f"'{settings.url}' names no host and port", hint=f"write {scheme}://192.168.1.10:502")
        return Tcp(host, number)
    if scheme in serial_port:
        if host or not path.startswith("/"):
            raise SettingsError(
                f"'{settings.url}' names no serial port", hint=f"three slashes: {scheme}:///dev/ttyUSB0"
            )
        return Serial(path, settings)
    known = ", ".join(f"{name}://" for name in (*tcp, *serial_port))
    raise SettingsError(f"'{settings.url}' is no address of a line", hint=f"it starts with one of: {known}")


def _split(url: str) -> tuple[str, str, int | None, str]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port, parts.path
    except ValueError as error:
        raise SettingsError(f"'{url}' is no address of a line: {error}", hint="a port is a number to 65535") from error
