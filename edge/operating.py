"""What an operator may ask of an alarm, wherever from: the console, the gateway's own page, the command line."""

from __future__ import annotations

import msgspec

from edge.errors import EdgeError
from wire.alarm import AlarmRequest, Standing
from wire.sample import Value


class OperationError(EdgeError):
    """The alarm does not take this now; nothing has changed."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """``action`` is one of `wire.alarm.ACTIONS`; ``by`` and ``where`` are for the journal (`StandingRecord`).

    ``command`` is the id of the fleet's command, empty if it was asked for on site.
    """

    action: str
    request: AlarmRequest
    by: str
    where: str
    command: str = ""


class AlarmView(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm as a page on the gateway shows it. Times are UTC in ns, None while unknown.

    ``value`` is that which raised it, ``limit`` in the same unit; ``raised_mono_ns`` orders them by who came first.
    """

    name: str
    tag: str
    level: str
    title: str
    priority: int
    standing: Standing
    occurrence: int
    raised_ns: int | None
    raised_mono_ns: int
    until_ns: int | None
    value: Value
    limit: float | None
    source: str
    shelve_most_h: float
    outputs: tuple[str, ...]
