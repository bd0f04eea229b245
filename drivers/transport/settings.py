"""What a configuration says of a line."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Baud = Annotated[int, msgspec.Meta(ge=300, le=4_000_000, description="bits per second of a serial port")]


class LineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a line is. ``baud``, ``parity``, ``data_bits`` and ``stop_bits`` are for serial ports only."""

    url: Annotated[str, msgspec.Meta(description="serial:///dev/ttyUSB0 or tcp://host:port")]
    baud: Baud = 9600
    parity: Annotated[Literal["N", "E", "O"], msgspec.Meta(description="none, even or odd")] = "N"
    data_bits: Annotated[Literal[7, 8], msgspec.Meta(description="data bits of a serial port")] = 8
    stop_bits: Annotated[Literal[1, 2], msgspec.Meta(description="stop bits of a serial port")] = 1
