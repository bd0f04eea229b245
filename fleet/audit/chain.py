"""The chain of the audit log: pure functions over lines.

Each line's hash covers the hash before it, so a line that was changed, removed or put in breaks the chain there; the
head, kept apart, shows that lines are missing at the end. Who rewrites all that follows and the head as well is found
by a head that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

START = "0" * 64
"""What the first line's hash covers in place of one before it."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A line without its hash, in the order that is hashed. Times are UTC in ns since 1970."""

    number: int
    at_ns: int
    actor: str
    via: str
    address: str
    action: str
    target: str
    outcome: str
    detail: str


class Head(msgspec.Struct, frozen=True):
    """The newest line's number and hash; 0 and `START` for an empty log. Written ``<number>:<hash>``."""

    number: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def read_head(text: str) -> Head | None:
    """Read what was noted elsewhere; None if it is no head."""
    number, _, digest = text.strip().partition(":")
    is_hash = len(digest) == 64 and not set(digest) - set("0123456789abcdef")
    return Head(int(number), digest) if number.isdecimal() and number.isascii() and is_hash else None


def link(before: str, entry: Entry) -> str:
    """Return the hash of a line that stands after the one with the hash ``before``."""
    return hashlib.sha256(before.encode() + msgspec.json.encode(entry)).hexdigest()


def verify(lines: Iterable[tuple[Entry, str]], head: Head, noted: Head | None = None) -> tuple[str, ...]:
    """Return what is wrong with a log, in plain words; empty if nothing is.

    ``lines`` are (line, its hash) by number; ``head`` is the one in the database, ``noted`` one kept elsewhere.
    """
    number, digest = 0, START
    troubles: list[str] = []
    noted_hash = START if noted is not None and noted.number == 0 else None
    for entry, stored in lines:
        if entry.number != number + 1:
            troubles.append(f"line {number + 1} is missing: line {entry.number} follows line {number}")
        elif link(digest, entry) != stored:
            troubles.append(f"line {entry.number} was changed, or does not follow line {number}")
        number, digest = entry.number, stored
        if noted is not None and number == noted.number:
            noted_hash = digest
    if (head.number, head.hash) != (number, digest):
        troubles.append(f"the log ends at line {number}, its head names line {head.number} ({head.hash[:12]})")
    if noted is not None and noted_hash != noted.hash:
        missing = "is missing" if noted_hash is None else "is not the one"
        troubles.append(f"line {noted.number} {missing} that was noted elsewhere")
    return tuple(troubles)
