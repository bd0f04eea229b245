"""Slows down the guessing of secrets: by name from an address, and by address whatever names it tries."""

from __future__ import annotations

from collections.abc import Callable

from fleet.throttle import Throttle

ADDRESS_FAILURES = 30
"""Failures from one address within the window that are minded only then: many people may share it."""


class Guesses:
    """Failures to sign in. Success forgets those of the name, never those of the address. Safe to use from threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._names = Throttle(clock)
        self._addresses = Throttle(clock, ADDRESS_FAILURES)

    def wait_s(self, name: str, address: str) -> float:
        """How long to wait before the next try; 0 if it may come now."""
        return max(self._names.wait_s(_key(name, address)), self._addresses.wait_s(address))

    def note_failure(self, name: str, address: str) -> None:
        """Count a failure."""
        self._names.note_failure(_key(name, address))
        self._addresses.note_failure(address)

    def forget(self, name: str, address: str) -> None:
        """Forget the failures of a name, after a success."""
        self._names.forget(_key(name, address))


def _key(name: str, address: str) -> str:
    return f"{name.casefold()}@{address}"
