"""How a gateway feels: sent every few seconds at QoS 0, shown in the console, never counted."""

from __future__ import annotations

import msgspec

from wire.record import Lane


class LaneHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The accounting of one lane over all epochs: assigned = delivered + pending + tombstoned."""

    assigned: int = 0
    delivered: int = 0
    pending: int = 0
    tombstoned: int = 0

    @property
    def difference(self) -> int:
        """What is assigned and unaccounted for: 0, unless something is wrong."""
        return self.assigned - self.delivered - self.pending - self.tombstoned


class GroupHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The accounting of one scan group since the agent started: due = good + bad + missed."""

    due: int = 0
    good: int = 0
    bad: int = 0
    missed: int = 0

    @property
    def difference(self) -> int:
        """What was due and is unaccounted for: 0, unless something is wrong."""
        return self.due - self.good - self.bad - self.missed


class BusHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One bus. ``busy`` is the share of time, 0..1, spent in requests; ``error`` the last fault, empty when well."""

    kind: str
    up: bool
    devices: int = 0
    devices_bad: int = 0
    busy: float = 0.0
    error: str = ""


class OutputHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A local output: ``on``, ``off``, ``test``, ``unknown``, ``inhibited`` by its maintenance key, or ``locked``.

    ``since_ns`` is since when it is on or off; ``error`` its last fault, or why it is locked.
    """

    state: str
    since_ns: int | None = None
    error: str = ""


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The uplink, in octets as the link carries them, estimated, since the agent started.

    ``alarms_only`` is why only lane A goes: ``budget`` (it is used up), ``rate`` (the link is too slow) or empty.
    ``budget_left_bytes`` is what may go now, below 0 where alarms have gone beyond; None without a budget.
    ``overdrawn_bytes`` counts what alarms took beyond it. ``rate_bytes_per_s`` is the rate last measured.
    """

    sent_bytes: int = 0
    rate_bytes_per_s: float = 0.0
    alarms_only: str = ""
    budget_left_bytes: int | None = None
    overdrawn_bytes: int = 0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``clock`` as in `wire.conversation.Clock.quality`; sizes in octets; ``uptime_s`` of the agent.

    ``spool_written_bytes`` is what the spool made the disk write since the agent's start, and
    ``spool_written_per_record`` that for each record which the fleet committed in this time, 0 while there is none.
    ``hurried`` names the scan groups that the fleet has read more densely than configured: {group: its period now, s}.
    """

    release: str
    uptime_s: float
    clock: str
    lanes: dict[Lane, LaneHealth]
    groups: dict[str, GroupHealth]
    buses: dict[str, BusHealth]
    outputs: dict[str, OutputHealth]
    spool_bytes: int = 0
    spool_max_bytes: int = 0
    live_tags: int = 0
    spool_written_bytes: int = 0
    spool_written_per_record: float = 0.0
    link: LinkHealth = LinkHealth()
    hurried: dict[str, float] = {}
