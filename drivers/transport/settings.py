"""What a configuration says of a line."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Baud = Annotated[int, Meta(ge=300, le=4_000_000, description="bits per second of a serial port")]
Milliseconds = Annotated[float, Meta(ge=0, le=1000)]


class LineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a line is, and how it is set.

    baud ... rs485_after_ms are for serial ports only, ca_file ... check_host for tls:// only.
    """

    url: Annotated[
        str,
        Meta(
            description="serial:///dev/serial/by-id/..., tcp://host:port, tls://host:port, "
            "udp://address:port (ours, instruments send to it), listen://address:port (ours, one instrument connects)"
        ),
    ]
    baud: Baud = 9600
    parity: Annotated[Literal["N", "E", "O"], Meta(description="none, even or odd")] = "N"
    data_bits: Annotated[Literal[7, 8], Meta(description="data bits of a serial port")] = 8
    stop_bits: Annotated[Literal[1, 2], Meta(description="stop bits of a serial port")] = 1
    rs485: Annotated[
        Literal["off", "kernel", "rts"],
        Meta(
            description="who turns a half-duplex adapter around: the adapter itself, the kernel's driver, or we by RTS"
        ),
    ] = "off"
    rs485_before_ms: Annotated[Milliseconds, Meta(description="from turning to send to the first octet")] = 0.0
    rs485_after_ms: Annotated[Milliseconds, Meta(description="from the last octet to turning back")] = 0.0
    ca_file: Annotated[str, Meta(description="the authority, or the instrument's own certificate, to trust alone")] = ""
    cert_file: Annotated[str, Meta(description="our certificate, where the instrument asks for one")] = ""
    key_file: Annotated[str, Meta(description="its private key, unless it is in cert_file")] = ""
    check_host: Annotated[
        bool, Meta(description="whether the instrument's certificate must bear the host; false only with ca_file")
    ] = True

    @property
    def character_s(self) -> float:
        """Seconds that one octet takes on a serial line: start bit, data, parity, stop bits.

        `Transport.write` returns once the octets are handed over; the last leaves ``len(data) * character_s`` later.
        """
        return (1 + self.data_bits + (self.parity != "N") + self.stop_bits) / self.baud
