"""Addresses to listen at, as they stand in settings: host:port, nowhere if empty."""

from __future__ import annotations

PORT_MOST = 65_535


def read_listen(listen: str) -> tuple[str, int] | None:
    """Return host and port, None for nowhere. Raises ValueError if it is no address."""
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and int(port) <= PORT_MOST):
        raise ValueError(f'listen \'{listen}\' is not host:port: write "127.0.0.1:9101", or "" for none')
    return host, int(port)
