"""What the fleet has ordered for a bounded time, so that neither a restart nor another configuration ends it early.

A power cut is likely just when such orders are in force. The file is a help, no condition: what cannot be kept is done
all the same, and a file that cannot be read is as none. It is written in a thread: no alarm waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from edge.document import AtomicStorage
from edge.errors import DocumentError

log = logging.getLogger(__name__)

NS = 1_000_000_000
Kind = Literal["raise", "hurry"]


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """``name`` is that of an alarm or of a scan group; ``until_ns`` is UTC, None while there was no time.

    ``every_s`` is how often a group is to be read.
    """

    kind: Kind
    name: str
    lasts_s: float
    until_ns: int | None
    every_s: float = 0.0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    mandates: tuple[Mandate, ...] = ()


def left_s(mandate: Mandate, wall_ns: int | None) -> float:
    """How much of its time is left; all of it where nobody knows what time it is. Pure."""
    if wall_ns is None or mandate.until_ns is None:
        return mandate.lasts_s
    return min(max((mandate.until_ns - wall_ns) / NS, 0.0), mandate.lasts_s)


class Mandates:
    """In memory, and a moment later in the file ``path`` if there is one. `close` at the end."""

    def __init__(self, path: Path | None = None) -> None:
        self._storage = AtomicStorage(path) if path is not None else None
        self._disk = ThreadPoolExecutor(1, "mandates")
        self._kept: dict[tuple[Kind, str], Mandate] = {}
        try:
            tables = (self._storage.read() if self._storage else None) or {}
            state = msgspec.convert(tables.get("mandates", {}), _State)
        except (DocumentError, msgspec.ValidationError) as error:
            log.error("what the fleet had ordered for a while is forgotten: %s", error)
            return
        self._kept = {(mandate.kind, mandate.name): mandate for mandate in state.mandates}

    def find(self, kind: Kind, name: str) -> Mandate | None:
        """The mandate about an alarm or a group."""
        return self._kept.get((kind, name))

    def put(self, mandates: Iterable[Mandate]) -> None:
        """Keep mandates; one about the same replaces the one before."""
        self._keep({**self._kept, **{(mandate.kind, mandate.name): mandate for mandate in mandates}})

    def drop(self, kind: Kind, names: Collection[str]) -> None:
        """Forget mandates that have ended."""
        left = {key: mandate for key, mandate in self._kept.items() if key[0] != kind or key[1] not in names}
        if len(left) < len(self._kept):
            self._keep(left)

    def _keep(self, kept: dict[tuple[Kind, str], Mandate]) -> None:
        self._kept = kept
        if self._storage is not None:
            self._disk.submit(self._write, self._storage, tuple(kept.values()))

    def _write(self, storage: AtomicStorage, mandates: tuple[Mandate, ...]) -> None:
        try:
            storage.write({"mandates": msgspec.to_builtins(_State(mandates=mandates))})
        except DocumentError as error:
            log.error("a restart would forget what the fleet has ordered for a while: %s", error)

    async def close(self) -> None:
        """Wait until the file is as the memory is."""
        await asyncio.to_thread(self._disk.shutdown)
