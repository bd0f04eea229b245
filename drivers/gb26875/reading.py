"""From what a configuration asks for to what takes it out of objects. Checked beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from drivers import bits
from drivers.base import Group
from drivers.errors import SettingsError
from drivers.gb26875.model import State, Transmitter
from drivers.gb26875.objects import (
    DESCRIPTION,
    FIELDS,
    IDENTITY,
    NUMBERS,
    QUANTITIES,
    RESET,
    STATES,
    Object,
    What,
)
from drivers.gb26875.packet import Packet
from drivers.gb26875.tally import COUNT, SYSTEM, Tally
from wire.sample import Value

Take = Callable[[Object], tuple[Value, int]]
"""Take value and quality of a tag out of an object."""


class Reading(msgspec.Struct, frozen=True):
    """A group ready to be filled: what an object's fields must be, how to take each tag, its tallies if it counts."""

    group: str
    transmitter: Transmitter
    what: What
    wanted: Mapping[str, int]
    takes: tuple[Take, ...]
    tallies: tuple[Tally, ...] = ()

    def follows(self, packet: Packet, one: Object) -> bool:
        """Tell whether an object is the group's."""
        if one.what == self.what:
            return self._is_of(packet) and self._fits(one, tuple(self.wanted))
        return self._is_reset(one) and self._is_of(packet) and self._fits(one, SYSTEM)

    def judge(self, one: Object) -> list[tuple[Value, int]]:
        """Give value and quality of each tag."""
        if one.what == self.what:
            return [take(one) for take in self.takes]
        for tally in self.tallies:
            tally.reset(one)
        return [tally.now() for tally in self.tallies]

    def _is_reset(self, one: Object) -> bool:
        return bool(self.tallies) and one.what == "operation" and bool(one.fields["state"] & RESET)

    def _is_of(self, packet: Packet) -> bool:
        return self.transmitter.address.lower() in {"", packet.source}

    def _fits(self, one: Object, names: tuple[str, ...]) -> bool:
        return all(one.fields.get(name) == self.wanted[name] for name in names if name in self.wanted)

    @property
    def is_ordered(self) -> bool:
        """Whether it follows one object alone, whose states have an order. Tallies keep their own."""
        named = set(IDENTITY).intersection(FIELDS[self.what])
        return not self.tallies and named <= set(self.wanted)


def prepare(group: Group) -> Reading:
    """Check what a group asks for. Raises SettingsError."""
    states = [source for source in group.sources if isinstance(source, State)]
    if not isinstance(group.device, Transmitter) or len(states) != len(group.sources):
        raise SettingsError(f"group {group.name}: not of a fire transmitter")
    objects = [(state.what, _wanted(state)) for state in states]
    if not objects or any(each != objects[0] for each in objects):
        raise SettingsError(
            f"group {group.name} is not of one object",
            hint="its tags have the same what, system_type, system, component_type and component, and one quantity",
        )
    what, wanted = objects[0]
    tallies = _tallies(group, states)
    takes: list[Take] = [tally.take for tally in tallies]
    if not tallies:
        takes = [_take(tag, state) for tag, state in zip(group.tags, states, strict=True)]
    return Reading(group.name, group.device, what, wanted, tuple(takes), tallies)


def _tallies(group: Group, states: list[State]) -> tuple[Tally, ...]:
    """Make a tally for each tag of a group that counts; none if it does not."""
    names = [state.value.removesuffix(COUNT) for state in states if state.value.endswith(COUNT)]
    if not names:
        return ()
    what = states[0].what
    if what not in {"system", "component"} or len(names) != len(states):
        raise SettingsError(
            f"group {group.name} has counts and something else, or counts no systems or components",
            hint="give counts, such as fire_count, a group of their own",
        )
    for state, name in zip(states, names, strict=True):
        if name not in STATES[what]:
            raise _unknown(state, tuple(f"{each}{COUNT}" for each in STATES[what]))
    return tuple(Tally(STATES[what].index(name)) for name in names)


def _wanted(state: State) -> dict[str, int]:
    wanted = {name: number for name in IDENTITY if (number := getattr(state, name)) is not None}
    if state.what == "analogue":
        wanted["quantity"] = _quantity(state)[0]
    return wanted


def _quantity(state: State) -> tuple[int, float]:
    """Give the type and the step of a quantity."""
    if state.value in QUANTITIES:
        return QUANTITIES[state.value]
    if state.value.isdecimal() and state.value.isascii() and 128 <= int(state.value) <= 255:
        return int(state.value), 1.0
    raise _unknown(state, (*QUANTITIES, "128 to 255"))


def _take(tag: str, state: State) -> Take:
    if state.what == "analogue":
        convert = bits.converter(_quantity(state)[1] * state.scale, state.offset, state.invalid)
        return lambda one: convert(one.fields["number"])
    if state.scale != 1 or state.offset or state.invalid:
        raise SettingsError(f"{tag}: only quantities have scale, offset and invalid", hint="leave them out")
    return _named(state)


def _named(state: State) -> Take:
    name = state.value
    states = STATES[state.what]
    if name in states:
        bit = states.index(name)
        return lambda one: (bool(one.fields["state"] >> bit & 1), bits.GOOD)
    if name == DESCRIPTION and state.what == "component":
        return lambda one: (one.description, bits.GOOD)
    numbers = NUMBERS.get(state.what, ())
    if name in numbers:
        return lambda one: (one.fields[name], bits.GOOD)
    raise _unknown(state, (*states, *numbers))


def _unknown(state: State, known: tuple[str, ...]) -> SettingsError:
    return SettingsError(f"{state.what} has no value '{state.value}'", hint=f"use one of: {', '.join(known)}")
