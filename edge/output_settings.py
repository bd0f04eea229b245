"""What a configuration says of local outputs: what switches each, what holds it on, and what keeps it off."""

from __future__ import annotations

import string
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.names import Name, Period, TagName

Hold = Literal["active", "acknowledged", "normal"]
Target = tuple[str | int | None, ...]
"""What an output switches. Two outputs of one target switch the same thing."""
PROGRAM = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$(?!\n)"
PLACEHOLDERS = ("state", "alarm")
"""What an argument of a program may hold in braces."""


class OutputSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[outputs]: what this one gateway allows, whatever its configuration says."""

    interlock_key_file: Annotated[
        str,
        Meta(
            description="names the interlocks that may write to the plant, relative to the configuration file; none may"
            " if empty"
        ),
    ] = ""


class OutputEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[output]]: what alarms switch on site: a writable tag, a GPIO line or a program.

    docs/understand/alarms.md says what holds one on, and what keeps it off.
    """

    name: Annotated[Name, Meta(description="unique on the gateway")]
    title: Annotated[str, Meta(description="name for people")] = ""
    tag: Annotated[TagName | None, Meta(description="full name of the writable tag that switches it")] = None
    gpio_chip: Annotated[
        Annotated[str, Meta(pattern=r"^/dev/[A-Za-z0-9_-]+$(?!\n)", examples=["/dev/gpiochip0"])] | None,
        Meta(description="or the GPIO chip that has its line"),
    ] = None
    gpio_line: Annotated[
        Annotated[int, Meta(ge=0)] | Annotated[str, Meta(min_length=1, max_length=64, examples=["GPIO17"])] | None,
        Meta(description="number or name of the line on that chip"),
    ] = None
    program: Annotated[
        Annotated[str, Meta(pattern=PROGRAM, max_length=64, examples=["call-duty"])] | None,
        Meta(description="or a program in the folder `programs` beside the configuration file"),
    ] = None
    arguments: Annotated[
        tuple[str, ...], Meta(description="of the program; {state} stands for on or off, {alarm} for the cause")
    ] = ()
    program_s: Annotated[
        float, Meta(ge=0.1, le=300, description="time in which the program must end with status 0")
    ] = 10.0
    on: Annotated[bool | int | float, Meta(description="value that switches it on; 0 for an active-low line")] = 1
    off: Annotated[bool | int | float, Meta(description="value that switches it off")] = 0
    hold: Annotated[
        Hold,
        Meta(
            description="on while an alarm is active or latched (active), until somebody acknowledges it, even if it is"
            " still active (acknowledged), or until it is both over and acknowledged (normal)"
        ),
    ] = "active"
    pulse_s: Annotated[Period | None, Meta(description="on for so long only; as long as it is held if not given")] = (
        None
    )
    pause_s: Annotated[Period | None, Meta(description="off for so long, and then on again: a flashing beacon")] = None
    fail_safe: Annotated[
        Literal["on", "off"], Meta(description="what it is left as when the agent ends or no longer has it")
    ] = "off"
    inhibit: Annotated[
        TagName | None, Meta(description="full name of the tag of a maintenance key, which keeps it off")
    ] = None
    inhibit_value: Annotated[bool | int | float, Meta(description="value of that tag while the key is turned")] = 1
    interlock: Annotated[
        bool, Meta(description="it writes to the plant: only if `interlock_key_file` of [outputs] allows it, too")
    ] = False

    def __post_init__(self) -> None:
        self._check_target()
        if self.pause_s is not None and self.pulse_s is None:
            raise ValueError("pause_s needs pulse_s: how long it is on between two pauses")
        for argument in self.arguments:
            if "\0" in argument:
                raise ValueError("arguments has a NUL character, which no program can be given: remove it")
            if (wrong := find_wrong_placeholder(argument)) is not None:
                known = " and ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                raise ValueError(f"arguments has '{wrong}', which stands for nothing: {known} do, {{{{ for a brace")

    def _check_target(self) -> None:
        if sum(target is not None for target in (self.tag, self.gpio_chip, self.program)) != 1:
            raise ValueError("an output has one of tag, gpio_chip and program: write one of them")
        if (self.gpio_chip is None) != (self.gpio_line is None):
            raise ValueError("gpio_chip and gpio_line belong together: write both")
        if self.gpio_chip is not None and {self.on, self.off} != {0, 1}:
            raise ValueError("on and off of a GPIO line are 1 and 0, or 0 and 1 where it is active-low")
        if self.arguments and self.program is None:
            raise ValueError("arguments are those of a program: add program, or remove them")

    @property
    def target(self) -> Target:
        """What it switches."""
        if self.program is not None:
            return ("program", self.program, *self.arguments)
        return ("tag", self.tag) if self.tag is not None else ("gpio", self.gpio_chip, self.gpio_line)


def find_wrong_placeholder(argument: str) -> str | None:
    """Find what stands in braces and means nothing; the whole argument where its braces do not match."""
    try:
        parts = [part for part in string.Formatter().parse(argument) if part[1] is not None]
    except ValueError:
        return argument
    for _, name, form, conversion in parts:
        if name not in PLACEHOLDERS or form or conversion:
            return f"{{{name}}}" if name else "{}"
    return None
