"""What a line is to whoever uses it."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """One line."""

    async def open(self) -> None:
        """Open the line. Raises LinkError when it cannot be had now, SettingsError when it never will be."""
        ...

    async def close(self) -> None:
        """Close the line and wake whoever reads from it. May be called at any time, any number of times."""
        ...

    async def read(self) -> bytes:
        """Wait for octets and return what has arrived. Raises LinkError once the line is down and all was read."""
        ...

    async def write(self, data: bytes) -> None:
        """Hand over octets to the line. Raises LinkError if it is down."""
        ...

    def discard(self) -> int:
        """Throw away what has arrived and was not read; return how many octets that were."""
        ...
