"""What an instrument needs of its end of a line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Line(Protocol):
    """The instrument's end: a pty, or a port of a serial server."""

    def write(self, octets: bytes) -> bool:
        """Write without waiting. False if the line did not take all of it, or nobody listens."""
        ...

    def received(self) -> AsyncIterator[bytes]:
        """Yield what arrives, whoever has the other end, one after the other."""
        ...
