"""What a configuration says of a Modbus line, of an instrument on it, and of where a tag lives.

`drivers.modbus.place` says what it means on the wire, `drivers.modbus.check` refuses what contradicts itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.bits import Order
from drivers.transport import LineSettings

COILS, DISCRETE_INPUTS, HOLDING_REGISTERS, INPUT_REGISTERS = 1, 2, 3, 4

Function = Annotated[
    Literal[1, 2, 3, 4], Meta(description="1 coils, 2 discrete inputs, 3 holding registers, 4 input registers")
]
Address = Annotated[
    int, Meta(ge=0, le=65536, description="as on the wire: 40001 is address 0, or 1 where the device has base = 1")
]
Register = Annotated[
    int, Meta(ge=1, le=465536, description="instead of function and address: 40001, 30001, 10001, 1, or 400001")
]
RegisterType = Literal[
    "bool", "u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "bcd16", "bcd32", "bcd64", "string"
]
NumericType = Literal["u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "bcd16", "bcd32", "bcd64"]


class Settings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line. The serial fields are for rtu:// and ascii:// only."""

    url: Annotated[
        str,
        Meta(
            description="tcp://host:port, tls://host:port, rtu:///dev/ttyUSB0, rtu+tcp://host:port, "
            "ascii:///dev/ttyUSB0, or ascii+tcp://host:port"
        ),
    ]
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="how long an instrument may take to answer")] = 1.0
    late_max_s: (
        Annotated[
            float,
            Meta(ge=0, le=600, description="how long after its time-out a reply may still come; twice timeout_s"),
        ]
        | None
    ) = None


class Forbidden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Registers or bits that no request may touch, not even to read along."""

    function: Function = 3
    first: Address
    last: Address


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One instrument on the line."""

    unit: Annotated[int, Meta(ge=0, le=255, description="its address on the line")] = 1
    base: Annotated[
        Literal[0, 1], Meta(description="what the addresses of its tags count from; 1 where its manual's first is 1")
    ] = 0
    gap_ms: Annotated[
        float, Meta(ge=0, le=1000, description="least silence before a request to it; RTU keeps 3.5 characters anyway")
    ] = 0.0
    connect_pause_ms: Annotated[
        float, Meta(ge=0, le=10_000, description="what it needs after the line was opened before it may be asked")
    ] = 0.0
    max_registers: Annotated[int, Meta(ge=1, le=125, description="most registers in one request")] = 125
    max_bits: Annotated[int, Meta(ge=1, le=2000, description="most coils or inputs in one request")] = 2000
    max_hole: Annotated[
        int, Meta(ge=0, le=124, description="most unused registers read along; 0 if it refuses those it does not have")
    ] = 16
    one_by_one: Annotated[bool, Meta(description="a request for each value: it answers no longer ones")] = False
    forbidden: Annotated[tuple[Forbidden, ...], Meta(description="ranges that must not be read, not even along")] = ()
    write_single: Annotated[
        bool, Meta(description="false: it sets a single coil or register only by functions 15 and 16")
    ] = True
    mask_write: Annotated[bool, Meta(description="it knows function 22, by which bits of a register are set")] = False
    read_write: Annotated[bool, Meta(description="it knows function 23, which sets and reads back at once")] = False
    read_modify_write: Annotated[
        bool,
        Meta(description="bits may be set by writing back the register they are in; no other master may set it"),
    ] = False


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A register or bit that is read along with a tag."""

    function: Function | None = None
    address: Address | None = None
    register: Register | None = None
    type: Annotated[NumericType | None, Meta(description="u16 if left out; functions 1 and 2 give 0 and 1")] = None
    order: Annotated[Order, Meta(description="how the octets of its number lie in its registers")] = "ABCD"


class Lookup(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A register that says how another is to be read.

    ``table``: {raw number: what it means}. Without a table the number itself is meant; a number that the table does
    not hold makes the tag bad.
    """

    table: Annotated[dict[str, float | Order], Meta(description='what its numbers mean: {"1" = 0.1, "2" = 0.01}')] = {}


class Status(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A register whose bits spoil a tag.

    It spoils while the bits of ``mask`` are not all 0 or, with ``equals``, while they are this number.
    """

    mask: Annotated[int, Meta(ge=1, description="only these bits, as a number of their own")] | None = None
    equals: Annotated[float, Meta(description="spoils at this number; at any but 0 if left out")] | None = None
    quality: Annotated[
        Literal["bad", "uncertain"], Meta(description="what the tag becomes; a bad one has no value")
    ] = "bad"


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one tag lives: value = raw * scale + offset."""

    function: Annotated[Function | None, Meta(description="3 if left out")] = None
    address: Address | None = None
    register: Register | None = None
    type: Annotated[RegisterType | None, Meta(description="u16 if left out; bool for functions 1 and 2")] = None
    length: Annotated[int, Meta(ge=1, le=125, description="registers of a string, two characters each")] | None = None
    order: Annotated[
        Order, Meta(description="how the octets lie in the registers; BADC also for strings with swapped octets")
    ] = "ABCD"
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0
    invalid: Annotated[tuple[float, ...], Meta(description="raw numbers, of the tag's type, that mean: no value")] = ()
    bit: Annotated[int, Meta(ge=0, le=63, description="take this bit, 0 the lowest, as a bool")] | None = None
    mask: Annotated[int, Meta(ge=1, description="take these bits, as a number of their own")] | None = None
    text: Annotated[
        dict[str, str], Meta(description='words for its numbers: {"0" = "closed"}; an unknown number is uncertain')
    ] = {}
    decimals_from: Annotated[
        Lookup | None, Meta(description="where the number of decimals stands: value = raw * scale / 10^n + offset")
    ] = None
    scale_from: Annotated[
        Lookup | None, Meta(description="where another factor stands: value = raw * scale * factor + offset")
    ] = None
    order_from: Annotated[Lookup | None, Meta(description="where the order stands, by a table of orders")] = None
    status: Annotated[tuple[Status, ...], Meta(description="registers whose bits spoil this tag")] = ()
