"""The twin on the gateway: the newest desired configuration that ran, and the newest that was refused.

Kept in TinyDB on a storage that never overwrites in place (`edge.document`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from tinydb import TinyDB

from edge.document import MOVE_AWAY, AtomicStorage
from edge.errors import DocumentError


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept."""

    version: int = 0
    config: dict[str, Any] | None = None
    refused: int | None = None
    reason: str = ""


class Twin:
    """What the fleet wants and what runs. ``version`` 0 is the configuration file."""

    def __init__(self, path: Path) -> None:
        self._db = TinyDB(path, storage=AtomicStorage)
        tables = self._db.storage.read() or {}
        try:
            state = msgspec.convert(tables.get("_default", {}).get("1", {}), State)
        except msgspec.ValidationError as error:
            raise DocumentError(f"{path} holds no twin: {error}", hint=MOVE_AWAY) from error
        self._take(state)

    def _take(self, state: State) -> None:
        self.version = state.version
        self._config = msgspec.msgpack.encode(state.config)
        self.refused = state.refused
        self.reason = state.reason

    @property
    def config(self) -> dict[str, Any] | None:
        """The configuration that runs, None if it is the file's. Made anew each time: as objects it takes megabytes."""
        return msgspec.msgpack.decode(self._config, type=dict[str, Any] | None)

    def is_news(self, version: int) -> bool:
        """Tell whether a desired version is newer than what runs and what was refused."""
        return version > max(self.version, self.refused or 0)

    def accept(self, version: int, config: dict[str, Any]) -> None:
        """Keep a configuration that passed its checks. Durable when this returns; raises DocumentError."""
        self._save(version, config, None, "")

    def refuse(self, version: int, reason: str) -> None:
        """Keep why a version was not applied. Raises DocumentError."""
        self._save(self.version, self.config, version, reason)

    def _save(self, version: int, config: dict[str, Any] | None, refused: int | None, reason: str) -> None:
        state = State(version=version, config=config, refused=refused, reason=reason)
        self._db.storage.write({"_default": {"1": msgspec.structs.asdict(state)}})
        self._take(state)

    def close(self) -> None:
        """Release the file."""
        self._db.close()
