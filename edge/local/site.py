"""What the gateway's own page needs to know of the gateway, and nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from edge.health import State
from edge.operating import AlarmView, Operation
from wire.health import Health
from wire.sample import Value
from wire.twin import DeviceInfo, TagInfo


class Nameplate(msgspec.Struct, frozen=True, kw_only=True):
    """Who this gateway is; each as in its boot settings, ``machine`` as in `wire.conversation.Hello`."""

    gateway: str
    title: str
    site: str
    sector: str
    machine: str
    release: str


class Reading(msgspec.Struct, frozen=True):
    """The newest of a tag: value, quality octet, and its age in s."""

    value: Value
    quality: int
    age_s: float


class Limit(msgspec.Struct, frozen=True):
    """A limit of a tag's value, of which there may be several of a level."""

    at: float
    is_upper: bool
    priority: int


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway without an identity gets in: the fleet's address, its own code (empty if a label's counts), its
    key's fingerprint, and what came of it last, as `edge.enrolment.Keeper.standing`."""

    url: str
    code: str
    key: str
    standing: tuple[str, str]


class Site(Protocol):
    """The running gateway. Nothing here but `keep` waits or writes to the disk."""

    def identity(self) -> Nameplate:
        """Say who this is."""
        ...

    def alarms(self) -> tuple[AlarmView, ...]:
        """List the alarms, in any order; those that stand normal may be among them."""
        ...

    def operate(self, operation: Operation) -> str:
        """Do what an operator asks and say what came of it. Raises OperationError if the alarm does not take it."""
        ...

    async def keep(self) -> bool:
        """Wait until what was done is durable: only then it may be told as done. False if the disk does not take it
        now; it is done all the same, and a power cut would undo it."""
        ...

    def tags(self) -> Mapping[str, TagInfo]:
        """Return the tags of the running configuration by full name."""
        ...

    def limits(self) -> Mapping[str, Sequence[Limit]]:
        """Return the limits of the running configuration by the full name of their tag."""
        ...

    def devices(self) -> tuple[DeviceInfo, ...]:
        """List the instruments of the running configuration."""
        ...

    def readings(self, tags: Iterable[TagInfo]) -> dict[str, Reading]:
        """Return the newest of these tags by full name; one that was never read is left out."""
        ...

    def now_ns(self) -> int | None:
        """Return UTC in ns, None while it is unknown."""
        ...

    def health(self) -> Health:
        """Return how the gateway feels."""
        ...

    def state(self) -> State:
        """Return what only the gateway itself shows."""
        ...

    def arrival(self) -> Arrival | None:
        """Return what a technician has to scan; None once the gateway has its identity, or needs none."""
        ...
