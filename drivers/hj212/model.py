"""What a configuration says of an HJ 212 instrument."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.transport import LineSettings

Command = Literal["2011", "2021", "2031", "2041", "2051", "2061"]


class Hj212Settings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the instrument connects to us (listen://0.0.0.0:9001), or the serial line that it speaks on."""

    timeout_s: Annotated[
        float, Meta(gt=0, le=86_400, description="time without an acceptable packet that counts as a failure")
    ] = 300.0


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instrument or logger. Packets of another MN, or with another password, are dropped and not answered."""

    mn: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,24}$", description="its MN, up to 24 letters and digits")]
    password: Annotated[str, Meta(pattern="^[ -~]{0,32}$", description="its PW; any if left out")] = ""
    age_by: Annotated[
        Literal["gateway", "instrument"],
        Meta(description="whose clock DataTime is held against: ours, or QN where the instrument's own is wrong"),
    ] = "gateway"
    max_age_s: Annotated[
        float, Meta(gt=0, le=86_400, description="older data are history, not a reading; the period comes on top")
    ] = 600.0
    minute_s: Annotated[float, Meta(ge=60, le=3600, description="period of its minute data (CN 2051)")] = 600.0
    utc_offset_h: Annotated[float, Meta(ge=-12, le=14, description="its time zone; Beijing is 8")] = 8.0
    answers_history: Annotated[
        bool, Meta(description="acknowledge history though it is dropped, for loggers that send nothing new before")
    ] = False


class Factor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which value of which packet: value = number * scale + offset. All tags of a group have one ``cn``."""

    code: Annotated[str, Meta(pattern="^[0-9A-Za-z]{1,16}$", description="code of what is measured: a34004, w01001")]
    field: Annotated[
        str, Meta(pattern="^[0-9A-Za-z]{1,16}$", description="which of its values: Rtd, Avg, Min, Max, Cou, ZsRtd, RS")
    ] = "Rtd"
    cn: Annotated[
        Command, Meta(description="2011 present, 2051 minute, 2061 hour, 2031 day, 2021 state, 2041 running time")
    ] = "2011"
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0
    invalid: Annotated[tuple[float, ...], Meta(max_length=8, description='numbers for "no value": [-99]')] = ()
