"""Who may sign in at the broker, decided without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.broker import may_sign_in
from fleet.settings import Settings

SECRET = "dienst-schlüssel-鱼复"


def settings(password: str) -> Settings:
    return Settings(data_dir=Path("/nowhere"), broker_password=password, secret_key="x")


@pytest.mark.parametrize("given", ["pässwort", "密码", "\ud800", "", "x" * 100_000])
@pytest.mark.parametrize("stored", ["service-secret", SECRET])
def test_any_text_may_be_a_wrong_password_of_the_service(given: str, stored: str) -> None:
    assert not may_sign_in(settings(stored), None, "ingest", "fleet", given)


def test_a_service_password_beyond_ascii_signs_in() -> None:
    assert may_sign_in(settings(SECRET), None, "ingest", "fleet", SECRET)
