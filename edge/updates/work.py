"""What an update has come to, kept on the disk before it is acted upon.

Kept in TinyDB on a storage that never overwrites in place (`edge.document`). Changes raise DocumentError if they
cannot be kept; what was kept before stays.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from tinydb import TinyDB

from edge.document import AtomicStorage
from edge.errors import DocumentError
from wire.update import ENDS, Kind, Progress, Step


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one action. ``well`` are the places that were well before a trial (`edge.trial`).

    ``until_ns`` and ``budget_bytes_per_s`` are the target's. ``slot`` holds the tree of ``tree_sha256`` once it is
    installed; ``orders`` counts how often the launcher was asked to try it, or profiles were begun to be tried.
    """

    action: str
    kind: Kind
    version: str
    attempt: int = 1
    step: Step = "downloading"
    detail: str = ""
    done: int = 0
    of: int = 0
    at_ns: int | None = None
    until_ns: int | None = None
    budget_bytes_per_s: int = 0
    slot: str = ""
    tree_sha256: str = ""
    well: tuple[str, ...] = ()
    orders: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be done about it."""
        return self.step in ENDS

    @property
    def trial(self) -> str:
        """What the launcher calls it: another attempt is another trial."""
        return f"{self.action}.{self.attempt}"

    def progress(self) -> Progress:
        """Return what the fleet is told of it."""
        return Progress(
            action=self.action,
            kind=self.kind,
            version=self.version,
            attempt=self.attempt,
            step=self.step,
            detail=self.detail,
            done=self.done,
            of=self.of,
            at_ns=self.at_ns,
        )


class WorkFile:
    """The newest work of each kind of release, in a file."""

    def __init__(self, path: Path) -> None:
        self._db = TinyDB(path, storage=AtomicStorage)
        tables = self._db.storage.read() or {}
        try:
            self._works = msgspec.convert(tables.get("_default", {}), dict[str, Work])
        except msgspec.ValidationError as error:
            hint = "move the file away: the update begins again"
            raise DocumentError(f"{path} holds no update: {error}", hint=hint) from error

    def get(self, kind: Kind) -> Work | None:
        """Return the newest work of a kind."""
        return self._works.get(kind)

    def all(self) -> tuple[Work, ...]:
        """Return the newest work of every kind."""
        return tuple(self._works.values())

    def keep(self, work: Work) -> None:
        """Keep a work in the place of the one of its kind; durable when this returns."""
        works = self._works | {work.kind: work}
        self._db.storage.write({"_default": msgspec.to_builtins(works)})
        self._works = works

    def show(self, work: Work) -> None:
        """Take how far a download is, which no restart needs to know."""
        self._works = self._works | {work.kind: work}

    def close(self) -> None:
        """Release the file."""
        self._db.close()
