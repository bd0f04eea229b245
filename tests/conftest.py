"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from werkzeug.routing import Rule

from fleet.accounts import service as accounts


@pytest.fixture(scope="session", autouse=True)
def _passwords_cost_little() -> None:
    """Hashing a password is slow on purpose: every test that signs in would pay for it."""
    accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts._NOBODY = accounts._hasher.hash("nobody has this password")


@pytest.fixture(scope="session", autouse=True)
def _routes_are_compiled_once() -> None:
    """Werkzeug compiles two functions for each route of each application, which is most of what making one costs.

    Without defaults they follow from the route alone, so all applications can share them.
    """
    compile_builder = Rule._compile_builder
    made: dict[tuple[str, tuple[tuple[bool, str], ...], bool], Callable[..., tuple[str, str]]] = {}

    def compile_once(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:
            return compile_builder(self, append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in made:
            made[key] = compile_builder(self, append_unknown)
        return made[key]

    Rule._compile_builder = compile_once  # type: ignore[method-assign]
