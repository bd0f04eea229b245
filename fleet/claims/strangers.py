"""Gateways that show a code nobody has typed yet: kept in memory for a minute, so that a typed code finds its key.

What a stranger says is never written down. It is enough to tell a code that some gateway shows now from one that none
does, and to bind the claim to that gateway's key although nobody can type a fingerprint.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from wire.checklist import Check

KEPT_S = 60.0
"""A gateway asks again several times within that time."""
MOST = 10_000
"""Beyond, the oldest are forgotten; they come again."""


class Stranger(msgspec.Struct, frozen=True):
    """``key`` is the fingerprint that it proved; ``at_s`` is when it asked last."""

    key: str
    checks: tuple[Check, ...]
    at_s: float


class Strangers:
    """By the hash of the code that they show. Safe to use from threads; ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, Stranger] = {}

    def note(self, secret_hash: str, key: str, checks: tuple[Check, ...]) -> None:
        """Take that a gateway asked. A second key that shows the same code does not take the first one's place."""
        with self._lock:
            known = self._find(secret_hash)
            if known is not None and known.key != key:
                return
            self._seen.pop(secret_hash, None)
            self._seen[secret_hash] = Stranger(key, checks, self._clock())
            while len(self._seen) > MOST:
                del self._seen[next(iter(self._seen))]

    def find(self, secret_hash: str) -> Stranger | None:
        """Return who shows this code now."""
        with self._lock:
            return self._find(secret_hash)

    def _find(self, secret_hash: str) -> Stranger | None:
        known = self._seen.get(secret_hash)
        return known if known is not None and self._clock() - known.at_s < KEPT_S else None
