"""What a configuration says of alarms: their rules, what belongs to each level, and which templates make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.names import NAME, OPTIONAL_NAME, TAG_NAME, Name, Seconds, TagName

Level = Literal[
    "high-high",
    "high",
    "low",
    "low-low",
    "deviation",
    "rate",
    "discrete",
    "bit",
    "bad",
    "silent",
    "total",
    "combined",
    "output-fault",
    "commanded",
]


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """[[alarm]]: what is watched, when that is an alarm, and what follows. docs/understand/alarms.md has every kind.

    Limit, deadband and setpoint are in the tag's unit; priority 1 is the most urgent.
    """

    tag: Annotated[
        Annotated[str, Meta(pattern=TAG_NAME.replace("^", "^(|", 1).replace("$", ")$"), examples=["gd-01.gas"])],
        Meta(description="full name of the tag it watches; none of `combined`, `output-fault` and `commanded`"),
    ] = ""
    level: Annotated[Level, Meta(description="its kind, and how far out")]
    label: Annotated[
        Annotated[str, Meta(pattern=NAME.replace("^", "^(|", 1).replace("$", ")$"), max_length=64)],
        Meta(
            description="tells apart several of a kind on one tag; `combined` and `commanded` need one, `output-fault`"
            " the output's"
        ),
    ] = msgspec.field(default="", name="name")
    limit: Annotated[float | None, Meta(description="raised at or beyond it, in the tag's unit")] = None
    deadband: Annotated[float, Meta(ge=0, description="how far back from the limit it clears")] = 0.0
    setpoint: Annotated[
        float | TagName | None, Meta(description="of `deviation`: what the value ought to be, a number or another tag")
    ] = None
    window_s: Annotated[
        Annotated[float, Meta(gt=0, le=31 * 86400)] | None,
        Meta(description="of `rate`, `total` and `combined`: how far back it looks"),
    ] = None
    direction: Annotated[Literal["rising", "falling", "either"], Meta(description="of `rate`: which change counts")] = (
        "either"
    )
    equals: Annotated[
        bool | int | float | str | None, Meta(description="of `discrete`: the value that is an alarm")
    ] = None
    bit: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | None, Meta(description="of `bit`: which bit, the lowest is 0")
    ] = None
    is_set: Annotated[bool, Meta(description="of `bit`: whether 1 is the alarm, or 0")] = True
    silent_s: Annotated[
        Annotated[float, Meta(gt=0, le=31 * 86400)] | None,
        Meta(description="of `silent`: so long without a good value"),
    ] = None
    kind: Annotated[
        Literal["counter", "amount"] | None,
        Meta(description="of `total`: the tag is a total that grows, or the amount since the reading before"),
    ] = None
    wrap: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="of a counter: the total at which it begins again at 0; it never does if not given"),
    ] = None
    of: Annotated[tuple[str, ...], Meta(description="of `combined`: names of the alarms that go into it")] = ()
    need: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="of `combined`: how many of them make it an alarm")
    ] = None
    lasts_s: Annotated[
        Annotated[float, Meta(gt=0, le=7 * 86400)] | None,
        Meta(description="of `commanded`: so long after the fleet last raised it, it clears by itself"),
    ] = None
    priority: Annotated[int, Meta(ge=1, le=4, description="1 is the most urgent")] = 2
    on_delay_s: Annotated[Seconds, Meta(description="how long it must hold before it is raised")] = 0.0
    off_delay_s: Annotated[Seconds, Meta(description="how long it must be back before it clears")] = 0.0
    latch: Annotated[bool, Meta(description="it stays an alarm until it is acknowledged and reset")] = False
    realarm_s: Annotated[
        Annotated[float, Meta(ge=0, le=7 * 86400)],
        Meta(
            description="so long after it was acknowledged it is unacknowledged again, if it still holds; 0 for never"
        ),
    ] = 0.0
    suppressed_by: Annotated[
        tuple[str, ...], Meta(description="names of alarms: while one of them is active, this one calls nobody")
    ] = ()
    shelve_most_h: Annotated[
        Annotated[float, Meta(ge=0, le=168)],
        Meta(description="how long an operator may shelve it at once; 0 if never"),
    ] = 12.0
    outputs: Annotated[tuple[Name, ...], Meta(description="names of the outputs that it drives")] = ()
    title: Annotated[str, Meta(description="name for people")] = ""
    source: Annotated[str, Meta(description="where its numbers come from: a standard and its clause, a design")] = ""

    def __post_init__(self) -> None:
        for key in LEVEL_KEYS[self.level].needs:
            if getattr(self, key) in (None, "", ()):
                name = FILE_KEYS.get(key, key)
                raise ValueError(f'an alarm of level = "{self.level}" needs {name}: add {name} = ...')
        for key in FOREIGN_KEYS[self.level]:
            if getattr(self, key) != DEFAULTS[key]:
                raise ValueError(f'{key} belongs to no alarm of level = "{self.level}": remove it')
        if self.wrap is not None and self.kind != "counter":
            raise ValueError('wrap belongs to a counter: remove it, or write kind = "counter"')
        if len(set(self.of)) < len(self.of):
            raise ValueError("of names an alarm twice: name each once")
        if self.need is not None and self.need > len(self.of):
            raise ValueError(f"need = {self.need} is more than the {len(self.of)} alarms it is made of: write less")

    @property
    def name(self) -> str:
        """The alarm's name on the gateway: tag and level, or the name given."""
        return f"{self.tag}:{self.label or self.level}" if self.tag else f"{self.label}:{self.level}"

    @property
    def is_upper(self) -> bool:
        """Whether a limit is on the high side."""
        return self.level in ("high-high", "high")


class LevelKeys(msgspec.Struct, frozen=True):
    """What an alarm of a level must say, and may say, beside what all may."""

    needs: tuple[str, ...]
    allows: tuple[str, ...] = ()


_LIMIT = LevelKeys(("tag", "limit"), ("deadband",))
LEVEL_KEYS: Mapping[str, LevelKeys] = {
    "high-high": _LIMIT,
    "high": _LIMIT,
    "low": _LIMIT,
    "low-low": _LIMIT,
    "deviation": LevelKeys(("tag", "limit", "setpoint"), ("deadband",)),
    "rate": LevelKeys(("tag", "limit", "window_s"), ("deadband", "direction")),
    "discrete": LevelKeys(("tag", "equals")),
    "bit": LevelKeys(("tag", "bit"), ("is_set",)),
    "bad": LevelKeys(("tag",)),
    "silent": LevelKeys(("tag", "silent_s")),
    "total": LevelKeys(("tag", "limit", "window_s", "kind"), ("deadband", "wrap")),
    "combined": LevelKeys(("label", "of", "need"), ("window_s",)),
    "output-fault": LevelKeys(("label",)),
    "commanded": LevelKeys(("label", "lasts_s")),
}
_OWN_KEYS = {key for keys in LEVEL_KEYS.values() for key in (*keys.needs, *keys.allows)} - {"label"}
FOREIGN_KEYS: Mapping[str, tuple[str, ...]] = {
    level: tuple(sorted(_OWN_KEYS - {*keys.needs, *keys.allows})) for level, keys in LEVEL_KEYS.items()
}
"""Keys that belong to other levels only."""
DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in msgspec.structs.fields(AlarmRule)}
FILE_KEYS = {"label": "name"}
"""How a key is called in the file, where that is not the attribute's name."""
OUTPUT_FAULT: Literal["output-fault"] = "output-fault"
"""The level of an output that does not answer: such an alarm is called `<output>:output-fault`."""
COMMANDED: Literal["commanded"] = "commanded"
"""The level of an alarm that the fleet raises by a command, whatever is measured here: called `<name>:commanded`."""
LIMITS = ("high-high", "high", "low", "low-low")
"""The levels that are a limit of the value itself."""


class TemplateEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[template]] less the template's parameters: its rules for each tag of ``of``, or for all of them together."""

    name: Annotated[str, Meta(description="the template; its parameters follow")]
    of: Annotated[tuple[TagName, ...], Meta(min_length=1, description="full names of the tags")]
    called: Annotated[
        Annotated[str, Meta(pattern=OPTIONAL_NAME, max_length=64)],
        Meta(description="of a template that combines several tags: the alarm's name less `:combined`"),
    ] = ""
