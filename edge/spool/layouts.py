"""The layouts of scans, kept once each and read from memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import msgspec

from edge.spool.file import SpoolFile, octets
from wire.record import Layout, layout_id

log = logging.getLogger(__name__)


class Layouts:
    """The table of them. ``keep`` belongs into a transaction of the caller, ``remember`` behind it."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._known: dict[bytes, Layout] = {}

    def keep(self, used: Iterable[bytes], layouts: Mapping[bytes, Layout]) -> None:
        """Store those that are not stored yet, and those that were damaged."""
        for key in used:
            if key not in self._known:
                body = msgspec.msgpack.encode(layouts[key])
                self._file.execute("INSERT OR REPLACE INTO layout VALUES (?, ?)", (key, body))

    def remember(self, used: Iterable[bytes], layouts: Mapping[bytes, Layout]) -> None:
        """Note what is stored by now."""
        self._known.update({key: layouts[key] for key in used})

    def find(self, key: bytes) -> Layout | None:
        """Return the columns of a layout; None when they are damaged, and the fleet then quarantines the scans."""
        if key not in self._known:
            rows = self._file.query("SELECT body FROM layout WHERE id = ?", (key,))
            try:
                found = msgspec.msgpack.decode(octets(rows[0][0]), type=Layout)
            except (IndexError, UnicodeDecodeError, msgspec.MsgspecError) as error:
                log.error("layout %s cannot be read from %s: %s", key.hex(), self._file.path, error)
                return None
            if layout_id(found) != key:
                log.error("layout %s is damaged in %s", key.hex(), self._file.path)
                return None
            self._known[key] = found
        return self._known[key]
