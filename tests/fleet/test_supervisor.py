"""In which order `serve` starts and ends its programs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from fleet import supervisor
from fleet.errors import SetupError
from fleet.settings import Settings
from tests.servers import free_port

NAMES = ["broker", "relay", "web"]


class FakeChild(supervisor.Child):
    """A program that only notes when it starts and ends; `fails` end at once, with an error."""

    told: list[str]
    fails: tuple[str, ...] = ()

    def __init__(self, name: str, _: Settings) -> None:
        self.name = name
        self._process, self._started_at, self._restarts = None, 0.0, 0

    async def start(self) -> None:
        self.told.append(f"{self.name} starts")
        script = "exit 1" if self.name in self.fails else "exec sleep 60"
        self._process = await asyncio.create_subprocess_exec("sh", "-c", script)
        self._started_at = time.monotonic()

    async def end(self) -> None:
        await super().end()
        self.told.append(f"{self.name} has ended")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fleet whose broker never listens."""
    return Settings(data_dir=tmp_path, broker_password="p", secret_key="s", mqtt=f"127.0.0.1:{free_port()}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in its order."""
    told: list[str] = []
    monkeypatch.setattr(FakeChild, "told", told, raising=False)
    monkeypatch.setattr(supervisor, "Child", FakeChild)
    return told


def test_upkeep_and_ingest_start_once_the_broker_is_up_and_it_ends_after_all_others(
    settings: Settings, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of revoked certificates that broker and upkeep wrote at once kept the broker from starting."""

    async def wait(*_: object) -> None:
        told.append("broker is up")

    async def watch(*_: object) -> None:
        told.append("all run")

    monkeypatch.setattr(supervisor, "_wait_for_broker", wait)
    monkeypatch.setattr(supervisor, "_watch", watch)
    asyncio.run(supervisor._serve(settings, NAMES))
    up, run = told.index("broker is up"), told.index("all run")
    assert told[:up] == ["broker starts", "relay starts", "web starts"]
    assert told[up + 1 : run] == ["upkeep starts", "ingest starts"]
    assert told[-1] == "broker has ended"
    assert len(told) == 2 * len([*NAMES, *supervisor.AFTER_BROKER]) + 2


def test_program_that_cannot_start_ends_the_start_though_the_broker_takes_its_time(
    settings: Settings, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was looked at only once the broker was up, and then taken for one that had run that long."""
    monkeypatch.setattr(FakeChild, "fails", ("web",))
    monkeypatch.setattr(supervisor, "BROKER_UP_S", 3.0)
    monkeypatch.setattr(supervisor, "STARTED_S", 1.0)
    with pytest.raises(SetupError, match="'web' could not start"):
        asyncio.run(asyncio.wait_for(supervisor._serve(settings, NAMES), 10))
    assert told[-1] == "broker has ended"
