"""How a configuration declares the frames of an instrument, and where a tag lies in them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TEXT_OCTETS_MOST = 1024
BINARY_OCTETS_MOST = 4096

Kind = Literal[
    "sum8", "sum8-twos", "sum16", "xor8",
    "crc8-smbus", "crc8-maxim", "crc8-nrsc5", "crc8-i432",
    "crc16-modbus", "crc16-arc", "crc16-ccitt-false", "crc16-xmodem", "crc16-kermit", "crc16-x25",
    "crc32", "crc32c", "crc32-mpeg2",
]  # fmt: skip
"""Checksums, by the names of `drivers.framing.checksum`."""

NumberType = Literal[
    "u8", "i8", "u16", "i16", "i20", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64",
]  # fmt: skip
"""``i20`` lies at the top of three octets, as accelerometers send it; the four bits below it are passed over."""

Order = Literal["big", "little"]
Hex = Annotated[str, Meta(pattern="^([0-9A-Fa-f]{2} ?)*$", max_length=96)]
Bits = Annotated[int, Meta(ge=1, lt=1 << 62)]
Bit = Annotated[int, Meta(ge=0, le=61)]
At = Annotated[int, Meta(ge=0, lt=BINARY_OCTETS_MOST, description="offset in the frame, the first octet being 0")]


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checksum: of the octets from ``first`` to ``gap`` octets before it, and ``after`` octets before the end.

    The end of a text is that before its terminator: NMEA's is xor8 with first 1, gap 1 (the ``*``) and form hex.
    """

    kind: Annotated[Kind, Meta(description="which sum or CRC")]
    first: Annotated[int, Meta(ge=0, le=255, description="offset of the first octet covered")] = 0
    gap: Annotated[int, Meta(ge=0, le=16, description="octets between those covered and the checksum")] = 0
    after: Annotated[int, Meta(ge=0, le=16, description="octets of the frame behind the checksum")] = 0
    order: Annotated[Order, Meta(description="which of its octets comes first: the high one is big")] = "big"
    form: Annotated[Literal["raw", "hex"], Meta(description="as octets, or as hexadecimal digits")] = "raw"


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames of text that end with a terminator and fit a pattern.

    A pattern's named groups are what tags take. Alternatives tell several kinds of line from each other; a line that
    fits without any named group, such as ``#.*`` in ``(?P<t>...)|#.*``, is known and passed over.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=1000, description="regular expression of a whole frame")]
    terminator: Annotated[str, Meta(min_length=1, max_length=8, description="what ends a frame")] = "\r\n"
    start: Annotated[
        str, Meta(max_length=8, description="what begins a frame, so that it is found behind garbage on its line")
    ] = ""
    most: Annotated[int, Meta(ge=1, le=TEXT_OCTETS_MOST, description="longest frame in octets; longer is garbage")] = (
        256
    )
    checksum: Annotated[Check | None, Meta(description="how it is secured; not at all if left out")] = None


class Length(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field that tells the length: octets of the whole frame = field + ``add``."""

    at: At
    type: Annotated[Literal["u8", "u16"], Meta(description="number type of the field")] = "u8"
    order: Annotated[Order, Meta(description="octet order of the field")] = "big"
    add: Annotated[int, Meta(ge=-4096, le=4096, description="octets of the frame that the field does not count")] = 0


class Binary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames of octets that begin with a header and have a length."""

    header: Annotated[Hex, Meta(min_length=2, description='first octets in hexadecimal: "55 51"')]
    length: Annotated[
        Annotated[int, Meta(ge=2, le=BINARY_OCTETS_MOST)] | Length,
        Meta(description="octets of a whole frame, or where they are told"),
    ]
    most: Annotated[int, Meta(ge=2, le=BINARY_OCTETS_MOST, description="longest frame that a field may tell")] = 256
    tail: Annotated[Hex, Meta(description="last octets in hexadecimal; none if left out")] = ""
    checksum: Annotated[Check | None, Meta(description="how it is secured; not at all if left out")] = None


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An octet that tells kinds of frames apart."""

    at: At
    equals: Annotated[int, Meta(ge=0, le=255, description="what the octet is in frames that carry the tag")]
    mask: Annotated[int, Meta(ge=1, le=255, description="bits of it that count")] = 0xFF


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must stand elsewhere in the frame for a tag to be good: in a text a ``field``, in octets a bit pattern."""

    field: Annotated[str, Meta(max_length=64, description="named group of the pattern")] = ""
    words: Annotated[tuple[str, ...], Meta(max_length=16, description='what it may be: ["00", "60"]')] = ()
    at: Annotated[At | None, Meta(description="offset of the octet in a binary frame")] = None
    mask: Annotated[int, Meta(ge=1, le=255, description="bits of it that count")] = 0xFF
    equals: Annotated[int, Meta(ge=0, le=255, description="what they are while all is well")] = 0
    quality: Annotated[Literal["bad", "uncertain"], Meta(description="what the tag is otherwise")] = "bad"


class Framed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instrument: either ``text`` or ``binary`` says what its frames look like."""

    text: Annotated[Text | None, Meta(description="frames of text")] = None
    binary: Annotated[Binary | None, Meta(description="frames of octets")] = None


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a tag lies in a frame: value = raw * scale + offset.

    In a text: ``field``. In octets: ``at`` and ``type``, or one ``bit`` of it, or the bits of a ``mask``.
    """

    field: Annotated[str, Meta(max_length=64, description="named group of the pattern")] = ""
    read: Annotated[
        Literal["number", "hex", "text"], Meta(description="what stands in a text: a decimal or hex number, or words")
    ] = "number"
    at: Annotated[At | None, Meta(description="offset of the number in a binary frame")] = None
    type: Annotated[NumberType, Meta(description="number type in a binary frame")] = "u8"
    order: Annotated[Order, Meta(description="octet order in a binary frame")] = "big"
    when: Annotated[When | None, Meta(description="only in binary frames that have this octet")] = None
    mask: Annotated[Bits | None, Meta(description="bits of the number that are the value")] = None
    bit: Annotated[Bit | None, Meta(description="bit of the number, the lowest being 0")] = None
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0
    invalid: Annotated[
        tuple[float | str, ...], Meta(max_length=16, description='raw numbers or words for "no value": [9999, "///"]')
    ] = ()
    status: Annotated[Status | None, Meta(description="what spoils the tag")] = None
    words: Annotated[
        dict[str, str], Meta(max_length=64, description='words for raw values: {"0" = "closed", "A" = "ok"}')
    ] = {}
