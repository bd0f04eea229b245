"""The book: what was done on site, line by line, until the fleet has it. TinyDB on the atomic storage.

Each line is written before the command that made it says so, and has an id of its own: a power cut loses none that was
told, and the fleet counts none twice.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import msgspec
from tinydb import TinyDB, where
from tinydb.table import Document

from provisioning.document import AtomicStorage, DocumentFileError

ENTRIES, ANCHORS = "entries", "fleets"
FOLDER = "fengsui"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line. ``kind``: site, bundle, usb-answer. Times are UTC in ns."""

    id: str
    kit: str
    kind: str
    gateway: str
    at_ns: int
    by: str
    detail: dict[str, Any] = {}
    synced_ns: int | None = None


class _PrivateStorage(AtomicStorage):
    mode = 0o600


class Book:
    """The book in a file. ``add`` returns when the line is on the disk. Raises DocumentFileError."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = TinyDB(path, storage=_PrivateStorage)
        except OSError as error:
            raise DocumentFileError(f"{path} cannot be used: {error.strerror}", "name another with --book") from error
        self._lines = self._db.table(ENTRIES)

    def add(self, kit: str, kind: str, gateway: str, by: str, at_ns: int, detail: dict[str, Any]) -> Line:
        """Add a line."""
        line = Line(id=uuid.uuid4().hex, kit=kit, kind=kind, gateway=gateway, at_ns=at_ns, by=by, detail=detail)
        self._lines.insert(msgspec.structs.asdict(line))
        return line

    def lines(self, kit: str = "", gateway: str = "") -> list[Line]:
        """Return the lines as they were written, all of them or those of a kit or gateway."""
        found = [self._read(document) for document in self._lines.all()]
        return [line for line in found if kit in {"", line.kit} and gateway in {"", line.gateway}]

    def waiting(self, kit: str = "") -> list[Line]:
        """Return the lines that the fleet has not taken yet."""
        return [line for line in self.lines(kit) if line.synced_ns is None]

    def mark(self, ids: list[str], at_ns: int) -> None:
        """Note that the fleet has these lines."""
        self._lines.update({"synced_ns": at_ns}, where("id").one_of(ids))

    def knows(self, anchor: str) -> bool:
        """Tell whether a kit of the fleet with this root was made or opened with this book before."""
        return self._db.table(ANCHORS).contains(where("anchor") == anchor)

    def trust(self, anchor: str) -> None:
        """Remember a fleet's root."""
        if not self.knows(anchor):
            self._db.table(ANCHORS).insert({"anchor": anchor})

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _read(self, document: Document) -> Line:
        try:
            return msgspec.convert(dict(document), Line)
        except msgspec.ValidationError as error:
            raise DocumentFileError(f"the book holds no line in {document.doc_id}: {error}", "repair it") from error


def find_path() -> Path:
    """Return where the book is unless --book says otherwise: under XDG_DATA_HOME, as the XDG specification has it."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / FOLDER / "book.json"
