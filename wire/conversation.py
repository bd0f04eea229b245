"""The messages by which a gateway hands records over to the fleet (docs/understand/delivery.md tells the story).

    edge  -> hello    who I am and what I hold
    fleet -> welcome  a session and the cursors: the edge sends what follows them
    edge  -> batch    items first, first + 1, ... of one epoch and lane
    fleet -> ack      committed up to here, after the database commit
    fleet -> refused  a gap: send again from `expected`
    fleet -> greet    I do not know your session: say hello

Commands go their own way (`wire.command`), and what is large for the link goes in parts (`wire.parts`).

Evolution: fields are added with a default and never change meaning; unknown fields are ignored. A change that an
older reader would misread is a new major version, which is a new topic root (`wire.topics`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from wire.record import Lane, Layout

BATCH_ITEMS_MOST = 4096
"""Most records in a batch: bounds what one message can make a fleet do."""

Word = Annotated[str, Meta(pattern=r"^[\x21-\x7e]*$", max_length=64)]
"""An identity: printable ASCII, short enough for any index."""
Text = Annotated[str, Meta(max_length=256)]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How the boot's monotonic clock relates to UTC now.

    ``offset_ns`` is wall - monotonic, None while ``quality`` is ``unset``. ``quality``: ``synced`` (a time source
    holds the clock), ``holdover`` (it was set once), ``told`` (by a welcome, late by its time on the way) or ``unset``.
    """

    offset_ns: int | None = None
    quality: str = "unset"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What the spool holds of one epoch and lane: the first record kept and the last one assigned."""

    first: Seq
    head: Seq


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Repeated with backoff until a welcome comes. ``epochs``: {epoch: {lane: Span}} with anything pending.

    Of very many epochs it names some; the rest are named in further hellos once these are delivered. ``id`` is what
    the welcome repeats, so that a late one is not taken for the answer to a later hello. ``session`` is the one that
    such a further hello continues.
    """

    gateway: Word
    boot: Word
    release: Word
    machine: Text
    clock: Clock
    epochs: dict[Word, dict[Lane, Span]]
    id: Word = ""
    session: Word = ""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """Opens a session. ``window``: most octets in flight; ``time``: the fleet's UTC in ns;
    ``cursors``: {epoch: {lane: last committed seq}}, 0 or absent where nothing is committed.
    ``joins_parts`` says that the fleet puts together what comes in parts; ``hello`` is the id of the hello answered.
    ``continues`` says that the session named in it was opened by the same run of the same database: what the fleet said
    then still holds."""

    session: Word
    window: int
    time: int
    cursors: dict[Word, dict[Lane, Seq]]
    joins_parts: bool = False
    hello: Word = ""
    continues: bool = False


class Minute(msgspec.Struct, frozen=True, array_like=True):
    """What is left of one minute of a group's scans that were given up: a column per tag of the layout.

    ``mono_ns`` is the begin of the minute in the time of the batch's boot, a full minute of UTC where that was known.
    ``counts`` says how many usable numbers a column had; ``lows``, ``highs`` and ``means`` are None where that is 0.
    """

    layout: bytes
    mono_ns: int
    counts: tuple[int, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]
    means: tuple[float | None, ...]


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """Records that the gateway no longer holds, from the batch's ``first`` up to and including ``last``.

    ``reason``: ``quota`` (no room on disk), ``memory`` (the spool could not store, and memory was full), ``encoding``
    (a value that no record can hold), ``corrupt`` (damaged on disk) or ``forgotten`` (delivered once, and asked for
    again after their time). ``from_ns`` and ``to_ns`` are the first's and the last's monotonic time, None if unknown.
    """

    last: Seq
    reason: Word
    from_ns: int | None = None
    to_ns: int | None = None
    minutes: tuple[Minute, ...] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one epoch and lane. ``items[i]`` has seq ``first + i``.

    ``round`` counts the sender's rewinds, so that a refusal of an older round is ignored. ``layouts`` holds the
    columns of every scan among the items. ``boot`` is the boot in which the items were captured, and ``clock`` that
    boot's relation to UTC as known now. A batch with a ``tombstone`` has no items: it stands in their place, and the
    cursor passes it.
    """

    session: Word
    round: int
    epoch: Word
    lane: Lane
    first: Seq
    items: Annotated[tuple[bytes, ...], Meta(max_length=BATCH_ITEMS_MOST)]
    boot: Word
    clock: Clock
    layouts: dict[bytes, Layout] = {}
    tombstone: Tombstone | None = None

    @property
    def last(self) -> int:
        """The last seq that the batch speaks of; ``first - 1`` if there is none."""
        return self.tombstone.last if self.tombstone is not None else self.first + len(self.items) - 1


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Everything up to and including ``committed`` is in the fleet's database. Absolute; monotone in a session."""

    session: Word
    epoch: Word
    lane: Lane
    committed: Seq


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A batch left a gap: the fleet expects ``expected`` next. Names the round it answers."""

    session: Word
    round: int
    epoch: Word
    lane: Lane
    expected: Seq


class Greet(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet does not know the session in use: say hello again. ``reason`` is for the log.

    ``session`` is the one that it does not know. A gateway that has been welcomed to another since has no need to.
    """

    reason: str = ""
    session: Word = ""
