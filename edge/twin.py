"""The twin on the gateway: the newest desired configuration that ran, and the newest that was refused.

Kept in TinyDB on a storage that never overwrites in place: temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
from tinydb import Storage, TinyDB

from edge.errors import TwinError

MOVE_AWAY = "move the file away: the gateway then starts from its configuration file"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept."""

    version: int = 0
    config: dict[str, Any] | None = None
    refused: int | None = None
    reason: str = ""


class AtomicStorage(Storage):
    """A TinyDB storage of which a power cut leaves either the old or the new content, never a mixture."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return the content, or None if there is none yet. Raises TwinError if it cannot be read."""
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TwinError(f"{self._path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise TwinError(f"{self._path} is not UTF-8", hint=MOVE_AWAY) from error
        try:
            return msgspec.convert(json.loads(text), dict[str, dict[str, Any]] | None)
        except (ValueError, RecursionError) as error:
            raise TwinError(f"{self._path} is not readable JSON: {error}", hint=MOVE_AWAY) from error

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace the content. Raises TwinError, and the old content stays."""
        draft = self._path.with_name(self._path.name + ".new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(data, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise TwinError(f"{self._path} cannot be written: {error.strerror}", hint="free disk space") from error


class Twin:
    """What the fleet wants and what runs. ``version`` 0 is the configuration file."""

    def __init__(self, path: Path) -> None:
        self._db = TinyDB(path, storage=AtomicStorage)
        tables = self._db.storage.read() or {}
        try:
            state = msgspec.convert(tables.get("_default", {}).get("1", {}), State)
        except msgspec.ValidationError as error:
            raise TwinError(f"{path} holds no twin: {error}", hint=MOVE_AWAY) from error
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
        """Keep a configuration that passed its checks. Durable when this returns; raises TwinError."""
        self._save(version, config, None, "")

    def refuse(self, version: int, reason: str) -> None:
        """Keep why a version was not applied. Raises TwinError."""
        self._save(self.version, self.config, version, reason)

    def _save(self, version: int, config: dict[str, Any] | None, refused: int | None, reason: str) -> None:
        state = State(version=version, config=config, refused=refused, reason=reason)
        self._db.storage.write({"_default": {"1": msgspec.structs.asdict(state)}})
        self._take(state)

    def close(self) -> None:
        """Release the file."""
        self._db.close()
