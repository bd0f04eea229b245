"""Slows down the guessing of passwords: after some failures a name from an address waits. Safe to use from threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

FAILURES = 5
"""Failures in a row that nobody minds."""
WINDOW_S = 300.0
"""How long a failure counts."""
MOST_KEYS = 10_000
"""Names and addresses remembered; beyond, the oldest are forgotten."""


class Throttle:
    """Failures by key within a window, in memory. ``clock`` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], failures: int = FAILURES, window_s: float = WINDOW_S) -> None:
        self._clock = clock
        self._failures = failures
        self._window_s = window_s
        self._lock = threading.Lock()
        self._seen: dict[str, list[float]] = {}

    def wait_s(self, key: str) -> float:
        """How long this key has to wait before the next try; 0 if it may try now."""
        with self._lock:
            recent = self._recent(key)
            if len(recent) < self._failures:
                return 0.0
            return recent[-self._failures] + self._window_s - self._clock()

    def note_failure(self, key: str) -> None:
        """Count a failure."""
        with self._lock:
            recent = self._recent(key)
            self._seen.pop(key, None)
            self._seen[key] = [*recent, self._clock()][-self._failures :]
            while len(self._seen) > MOST_KEYS:
                del self._seen[next(iter(self._seen))]

    def forget(self, key: str) -> None:
        """Forget the failures of a key, after a success."""
        with self._lock:
            self._seen.pop(key, None)

    def _recent(self, key: str) -> list[float]:
        now = self._clock()
        return [at for at in self._seen.get(key, ()) if now - at < self._window_s]
