"""From the address in a configuration to a line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import msgspec

from drivers.errors import SettingsError
from drivers.transport.base import Transport
from drivers.transport.listener import Listener
from drivers.transport.serial_port import Serial
from drivers.transport.settings import LineSettings
from drivers.transport.tcp import Tcp
from drivers.transport.tls import check_tls, client_context
from drivers.transport.udp import Udp

Schemes = tuple[str, ...]


class Address(msgspec.Struct, frozen=True):
    """A url in its parts; ``port`` is None if it was left out."""

    scheme: str
    host: str
    port: int | None
    path: str


def open_line(settings: LineSettings) -> Transport:
    """Make the line that the settings name, not yet open. Raises SettingsError for an address that is none."""
    return make_line(
        settings, tcp=("tcp",), tls=("tls",), serial_port=("serial",), udp=("udp",), listen=("listen",), port=None
    )


def make_line(
    settings: LineSettings,
    *,
    tcp: Schemes = (),
    tls: Schemes = (),
    serial_port: Schemes = (),
    udp: Schemes = (),
    listen: Schemes = (),
    port: int | None,
) -> Transport:
    """Make a line where a driver names its schemes: ``port`` is the TCP port that may be left out."""
    makers: dict[str, Callable[[LineSettings, Address], Transport]] = {
        **dict.fromkeys(tcp, partial(_tcp, port=port)),
        **dict.fromkeys(tls, partial(_tls, port=port)),
        **dict.fromkeys(serial_port, _serial),
        **dict.fromkeys(udp, _udp),
        **dict.fromkeys(listen, _listener),
    }
    address = _split(settings.url)
    if address.scheme not in makers:
        known = ", ".join(f"{name}://" for name in makers)
        raise SettingsError(f"'{settings.url}' is no address of a line", hint=f"it starts with one of: {known}")
    return makers[address.scheme](settings, address)


def _tcp(settings: LineSettings, address: Address, port: int | None) -> Transport:
    return Tcp(*_host_and_port(settings.url, address, port))


def _tls(settings: LineSettings, address: Address, port: int | None) -> Transport:
    check_tls(settings)
    return Tcp(*_host_and_port(settings.url, address, port), context=partial(client_context, settings))


def _udp(settings: LineSettings, address: Address) -> Transport:
    return Udp(*_host_and_port(settings.url, address, None, "0.0.0.0:8888"))


def _listener(settings: LineSettings, address: Address) -> Transport:
    return Listener(*_host_and_port(settings.url, address, None, "0.0.0.0:4001"))


def _serial(settings: LineSettings, address: Address) -> Transport:
    if address.host or not address.path.startswith("/"):
        raise SettingsError(
            f"'{settings.url}' names no serial port",
            hint=f"three slashes: {address.scheme}:///dev/serial/by-id/... or {address.scheme}:///dev/ttyS0",
        )
    return Serial(address.path, settings)


def _host_and_port(url: str, address: Address, port: int | None, example: str = "192.168.1.10:502") -> tuple[str, int]:
    number = address.port or port
    if not address.host or number is None:
        raise SettingsError(f"'{url}' names no host and port", hint=f"write {address.scheme}://{example}")
    return address.host, number


def _split(url: str) -> Address:
    try:
        parts = urlsplit(url)
        return Address(parts.scheme, parts.hostname or "", parts.port, parts.path)
    except ValueError as error:
        raise SettingsError(f"'{url}' is no address of a line: {error}", hint="a port is a number to 65535") from error
