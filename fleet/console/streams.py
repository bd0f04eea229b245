"""Event streams: what changed, as server-sent events, for a bounded time; the browser then comes back by itself.

A stream holds one server thread, so their number is bounded too. It never holds a database session while it waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from fleet.live import Live

LIFETIME_S = 60.0
"""How long a stream lives: each return checks the sign-in anew."""
LOOK_S = 5.0
"""Longest silence: the stream then looks whether its session still stands, and a comment tells that it is alive."""
GATHER_S = 0.25
"""Changes are gathered this long before they are sent: the eye does not need more."""
AGAIN_S = 10.0
"""A page that nothing has changed on is read again after this long: other processes write to the database too."""
RETRY_MS = 1000
LOOK_AT_S = 1.0
"""Between two looks at one thing that somebody waits for."""
STREAMS_MOST = 48
"""Streams at once; the server has more threads than that, so that pages are always answered."""


class Slots:
    """A bounded number of streams."""

    def __init__(self, most: int = STREAMS_MOST) -> None:
        self._free = threading.BoundedSemaphore(most)

    def take(self) -> bool:
        """Take a slot if one is free."""
        return self._free.acquire(blocking=False)

    def give(self) -> None:
        """Give a slot back."""
        self._free.release()


def write_event(name: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"


Draw = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Puts newer values {tag: LiveValue} into what the page shows of them."""


Look = Callable[[], int | None]
"""Reads the newest line of the journal that the reader may see; None once nobody is signed in any more."""


def stream_changes(
    live: Live, gateway: str | None, look: Look, draw: Draw | None = None, lifetime_s: float = LIFETIME_S
) -> Iterator[str]:
    """Tell what changes, of one gateway or of any; ends as soon as ``look`` finds that the session has ended.

    ``tags`` carries what to draw of tags, ``changed`` asks to read the page again.
    """
    newest, look_again = look(), time.monotonic() + LOOK_S
    end = time.monotonic() + lifetime_s
    version = 0 if draw else live.version
    read_again = time.monotonic() + AGAIN_S
    yield f"retry: {RETRY_MS}\n\n"
    while not live.closed and (left := end - time.monotonic()) > 0:
        version, changes = live.wait(gateway, version, min(LOOK_S, left))
        parts = []
        grew = False
        if changes.alarms or time.monotonic() >= look_again:
            look_again = time.monotonic() + LOOK_S
            before, newest = newest, look()
            if newest is None:
                return
            grew = newest != before
        if draw and gateway in changes.tags:
            parts.append(write_event("tags", draw(changes.tags[gateway])))
        if grew or time.monotonic() >= read_again:
            read_again = time.monotonic() + AGAIN_S
            parts.append(write_event("changed", {}))
        yield "".join(parts) or ": beat\n\n"
        time.sleep(GATHER_S)


def stream_looks(
    live: Live, look: Callable[[], object], every_s: float = LOOK_AT_S, lifetime_s: float = LIFETIME_S
) -> Iterator[str]:
    """Tell when what ``look`` finds is another; ends as soon as it finds None: the session has ended.

    The page is read again at the beginning: on a slow link something may have happened since it was made.
    """
    end = time.monotonic() + lifetime_s
    before: object = ()
    yield f"retry: {RETRY_MS}\n\n"
    while not live.closed and time.monotonic() < end:
        time.sleep(every_s)
        found = look()
        if found is None:
            return
        yield ": beat\n\n" if found == before else write_event("changed", {})
        before = found


class Held:
    """A stream that gives its slot back when it ends, however it ends: even if it was never begun."""

    def __init__(self, parts: Iterable[str], slots: Slots) -> None:
        self._parts = iter(parts)
        self._slots = slots
        self._given = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._parts)

    def close(self) -> None:
        """Called by the server when the answer is finished or the browser has gone."""
        if not self._given:
            self._given = True
            self._slots.give()
        close = getattr(self._parts, "close", None)
        if close:
            close()
