"""Small documents that outlive a power cut: TinyDB on a storage that never overwrites in place.

Temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
from tinydb import Storage

from provisioning.errors import ProvisioningError


class DocumentFileError(ProvisioningError):
    """A document cannot be read or written. The old content stays."""


class AtomicStorage(Storage):
    """A TinyDB storage of which a power cut leaves either the old or the new content, never a mixture.

    ``error`` is what it raises, made of a message and a hint; ``mode`` is the file's, within the umask.
    """

    error: type[Exception] = DocumentFileError
    mode = 0o666
    move_away = "move the file away, and begin a new one"

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return the content, or None if there is none yet. Raises ``error`` if it cannot be read."""
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.error(f"{self._path} cannot be read: {error.strerror}", "who owns it?") from error
        except UnicodeDecodeError as error:
            raise self.error(f"{self._path} is not UTF-8", self.move_away) from error
        try:
            return msgspec.convert(json.loads(text), dict[str, dict[str, Any]] | None)
        except (ValueError, RecursionError) as error:
            raise self.error(f"{self._path} is not readable JSON: {error}", self.move_away) from error

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace the content. Raises ``error``, and the old content stays."""
        draft = self._path.with_name(self._path.name + ".new")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self.mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
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
            raise self.error(f"{self._path} cannot be written: {error.strerror}", "free disk space") from error
