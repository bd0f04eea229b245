"""What a configuration says of a Modbus line, of an instrument on it, and of where a tag lives."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.bits import NumberType, Order, width
from drivers.errors import SettingsError
from drivers.transport import LineSettings

COILS, DISCRETE_INPUTS, HOLDING_REGISTERS, INPUT_REGISTERS = 1, 2, 3, 4


class Settings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line. The serial fields are for rtu:// only."""

    url: Annotated[str, Meta(description="tcp://host:port, rtu:///dev/ttyUSB0, or rtu+tcp://host:port")]
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="how long an instrument may take to answer")] = 1.0


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One instrument on the line."""

    unit: Annotated[int, Meta(ge=0, le=255, description="its address on the line")] = 1
    gap_ms: Annotated[
        float, Meta(ge=0, le=1000, description="least silence before a request to it; RTU keeps 3.5 characters anyway")
    ] = 0.0
    max_registers: Annotated[int, Meta(ge=1, le=125, description="most registers in one request")] = 125
    max_bits: Annotated[int, Meta(ge=1, le=2000, description="most coils or inputs in one request")] = 2000
    max_hole: Annotated[
        int, Meta(ge=0, le=124, description="most unused registers read along; 0 if it refuses those it does not have")
    ] = 16


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one tag lives: value = raw * scale + offset."""

    function: Annotated[
        Literal[1, 2, 3, 4],
        Meta(description="1 coils, 2 discrete inputs, 3 holding registers, 4 input registers"),
    ] = 3
    address: Annotated[int, Meta(ge=0, le=65535, description="as on the wire, from 0: 40001 is address 0")]
    type: Annotated[
        NumberType | Literal["bool"] | None, Meta(description="u16 if left out; bool for functions 1 and 2")
    ] = None
    order: Annotated[Order, Meta(description="how the octets of a number lie in its registers")] = "ABCD"
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0
    invalid: Annotated[tuple[float, ...], Meta(description="raw numbers, of the tag's type, that mean: no value")] = ()
    bit: Annotated[int, Meta(ge=0, le=63, description="take this bit, 0 the lowest, as a bool")] | None = None
    mask: Annotated[int, Meta(ge=1, description="take these bits, as a number of their own")] | None = None

    @property
    def is_bits(self) -> bool:
        """Tell whether it lives among coils or discrete inputs."""
        return self.function in {COILS, DISCRETE_INPUTS}

    @property
    def number_type(self) -> NumberType:
        """The type of the number in the registers."""
        return "u16" if self.type is None or self.type == "bool" else self.type

    @property
    def is_bool(self) -> bool:
        """Tell whether its values are true and false."""
        return self.is_bits or self.bit is not None


def check_source(tag: str, source: Source) -> None:
    """Raise SettingsError, naming the tag, where the fields of a source contradict each other."""
    if source.is_bits:
        if source.type not in {None, "bool"} or source.bit is not None or source.mask is not None:
            raise SettingsError(f"{tag}: a coil or input is a bool", hint="leave out type, bit and mask")
        return
    if source.type == "bool" and source.bit is None:
        raise SettingsError(f"{tag}: which bit of the register is it?", hint="add bit = 0 to 15")
    if source.bit is not None and source.mask is not None:
        raise SettingsError(f"{tag}: bit and mask exclude each other", hint="mask can name that bit too")
    if source.number_type.startswith("f") and (source.bit is not None or source.mask is not None):
        raise SettingsError(f"{tag}: {source.type} has no bits to take", hint="use type u16 or u32")
    size = 8 * width(source.number_type)
    if (source.bit or 0) >= size or (source.mask or 0) >= 1 << size:
        raise SettingsError(f"{tag}: {source.number_type} has only {size} bits", hint="bits count from 0")
