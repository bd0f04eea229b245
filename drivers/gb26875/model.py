"""What a configuration says of a fire transmitter."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.gb26875.objects import What
from drivers.transport import LineSettings

Octet = Annotated[int, Meta(ge=0, le=255)]
Component = Annotated[int, Meta(ge=0, lt=1 << 32)]


class Gb26875Settings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the transmitter connects to us: listen://0.0.0.0:9002."""

    timeout_s: Annotated[
        float, Meta(gt=0, le=86_400, description="time without any valid packet that counts as a failure")
    ] = 600.0


class Transmitter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transmitter. Packets of another address are dropped and not answered."""

    address: Annotated[
        str, Meta(pattern="^([0-9A-Fa-f]{12})?$", description="its address, highest digits first; any if left out")
    ] = ""
    age_by: Annotated[
        Literal["gateway", "instrument"],
        Meta(description="whose clock times are held against: ours, or the packet's where the transmitter's is wrong"),
    ] = "gateway"
    max_age_s: Annotated[
        float, Meta(gt=0, le=31_536_000, description="a state that is older when it is told is uncertain")
    ] = 600.0
    utc_offset_h: Annotated[float, Meta(ge=-12, le=14, description="its time zone; Beijing is 8")] = 8.0


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which value of which object. All tags of a group are of one object.

    What is left out of ``system_type`` ... ``component`` is not asked for: the group then follows every object that
    fits, the newest packet's last.

    system                  normal fire fault shielded supervised started feedback delayed mains_fault battery_fault
                            bus_fault manual configuration_changed reset
    component               normal ... delayed power_fault, component (its address), description (words)
    either of these         fire_count, fault_count, ...: how many are in a state, each as last told; resets forget it
    analogue                events height (m) temperature (degC) pressure_mpa pressure_kpa gas (%LEL) seconds voltage
                            current flow (L/s) air_flow (m3/min) wind_speed (m/s), or a maker's type: "128" to "255"
    operation               reset silenced manual_alarm alarm_cleared self_test duty_answered test, operator
    transmitter             normal fire fault mains_fault battery_fault link_fault line_fault
    transmitter_operation   as operation
    """

    what: Annotated[What, Meta(description="of what it is told")]
    value: Annotated[str, Meta(max_length=32, description="name of a state, an operation or a quantity")]
    system_type: Annotated[Octet | None, Meta(description="type of the system: 1 fire alarm, 12 sprinklers, ...")] = (
        None
    )
    system: Annotated[Octet | None, Meta(description="address of the system")] = None
    component_type: Annotated[Octet | None, Meta(description="type of the component: 40 smoke, 23 manual, ...")] = None
    component: Annotated[Component | None, Meta(description="address of the component, 32 bits")] = None
    scale: Annotated[float, Meta(description="factor for a quantity, besides its own step")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0
    invalid: Annotated[tuple[float, ...], Meta(max_length=8, description='raw numbers for "no value": [32767]')] = ()
