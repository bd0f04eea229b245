"""The quakes that run, on disk: one that the agent does not see the end of is closed at its next start."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import msgspec

from edge.document import AtomicStorage
from edge.errors import DocumentError
from wire.record import QuakeRecord

log = logging.getLogger(__name__)

OPEN = "open"


class OpenQuakes:
    """The newest record of every quake that has not ended, by station. In memory only without a ``path``."""

    def __init__(self, path: Path | None) -> None:
        self._storage = AtomicStorage(path) if path is not None else None
        self._records: dict[str, QuakeRecord] = {}
        self._is_changed = False
        self._number = self._written = 0
        self._lock = threading.Lock()

    def read(self) -> list[QuakeRecord]:
        """Return the quakes that an earlier start has left open. None of them is, from now on."""
        if self._storage is None:
            return []
        try:
            found = msgspec.convert((self._storage.read() or {}).get(OPEN, {}), dict[str, QuakeRecord])
        except (DocumentError, msgspec.ValidationError) as error:
            log.error("quakes that ran when the agent ended are not known: %s", error)
            found = {}
        self._is_changed = bool(found)
        return list(found.values())

    def note(self, record: QuakeRecord) -> None:
        """Take the newest record of a quake."""
        if record.state in ("closed", "rejected"):
            self._is_changed = self._records.pop(record.station, None) is not None or self._is_changed
        else:
            self._records[record.station] = record
            self._is_changed = True

    async def save(self) -> None:
        """Put on disk what has changed. One that cannot be written is tried again at the next change."""
        if not self._is_changed or self._storage is None:
            return
        self._is_changed = False
        self._number += 1
        records = {OPEN: {station: msgspec.to_builtins(record) for station, record in self._records.items()}}
        try:
            await asyncio.to_thread(self._write, self._storage, self._number, records)
        except DocumentError as error:
            log.error("the quakes that run could not be kept: %s", error)

    def _write(self, storage: AtomicStorage, number: int, records: dict[str, dict[str, object]]) -> None:
        """Write in a thread. A caller that was cancelled leaves it running, so a later one may come before."""
        with self._lock:
            if number > self._written:
                storage.write(records)
                self._written = number
