"""What holds for all tests."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from fleet.accounts import service as accounts


@pytest.fixture(scope="session", autouse=True)
def _passwords_cost_little() -> None:
    """Hashing a password is slow on purpose: every test that signs in would pay for it."""
    accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts._NOBODY = accounts._hasher.hash("nobody has this password")
