"""Accounts of which both sides are counted apart, and whether they are equal. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wire.health import GroupHealth, LaneHealth

UNBALANCED_EVENT = "accounts-unbalanced"
"""The audit event of an account that does not balance: something was lost or counted twice without a word."""


class Accounts:
    """Watches accounts by name, and tells of each that goes wrong once."""

    def __init__(self) -> None:
        self._wrong: set[str] = set()

    def find_wrong(self, accounts: Iterable[tuple[str, LaneHealth | GroupHealth]]) -> list[str]:
        """Return a line for each account, with its name, whose sides differ since this look. None is how it must be."""
        wrong = {str(name): account for name, account in accounts if account.difference}
        new = wrong.keys() - self._wrong
        self._wrong = set(wrong)
        return [f"{name}: {wrong[name]}" for name in sorted(new)]
