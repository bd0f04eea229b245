"""The twin on the gateway: the newest desired configuration that ran, and the newest that was refused.

Kept in TinyDB on a storage that never overwrites in place: temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tinydb import Storage, TinyDB

from edge.errors import TwinError


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
        try:
            content: dict[str, dict[str, Any]] = json.loads(text)
        except ValueError as error:
            raise TwinError(
                f"{self._path} is not readable JSON: {error}",
                hint="move the file away: the gateway then starts from its configuration file",
            ) from error
        return content

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
        documents = self._db.all()
        state: dict[str, Any] = dict(documents[0]) if documents else {}
        self.version: int = state.get("version", 0)
        self.config: dict[str, Any] | None = state.get("config")
        self.refused: int | None = state.get("refused")
        self.reason: str = state.get("reason", "")

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
        state = {"version": version, "config": config, "refused": refused, "reason": reason}
        self._db.storage.write({"_default": {"1": state}})
        self._db.clear_cache()
        self.version, self.config, self.refused, self.reason = version, config, refused, reason

    def close(self) -> None:
        """Release the file."""
        self._db.close()
