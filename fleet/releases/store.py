"""The store of artifacts: files by their SHA-256 in the data directory, whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fleet.errors import NotFoundError, SetupError
from fleet.settings import Settings

FOLDER = "releases"
FREE_LEAST = 100_000_000
"""Octets of the disk that stay free for the fleet's own work."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Kept:
    """A file of the store."""

    sha256: str
    sha1: str
    md5: str
    size: int


def find_folder(settings: Settings) -> Path:
    """Return the folder of everything that belongs to releases."""
    return settings.data_dir / FOLDER


def add(settings: Settings, path: Path) -> Kept:
    """Copy a file into the store; durable when this returns. Raises SetupError."""
    folder = find_folder(settings) / "artifacts"
    digests = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    draft = folder / f".{path.name}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size
        if shutil.disk_usage(folder).free < size + FREE_LEAST:
            raise SetupError(f"there is no room for {path}", hint=f"make room in {folder}")
        with path.open("rb") as source, draft.open("wb") as copy:
            while chunk := source.read(CHUNK):
                for digest in digests:
                    digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
        sha256, sha1, md5 = (digest.hexdigest() for digest in digests)
        os.replace(draft, folder / sha256)
        _sync(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SetupError(f"{path} cannot be taken into the store: {error}", hint="look at the disk") from error
    return Kept(sha256, sha1, md5, size)


def find(settings: Settings, sha256: str) -> Path:
    """Return where a file of the store is. Raises NotFoundError."""
    path = find_folder(settings) / "artifacts" / sha256
    if len(sha256) != 64 or not sha256.isalnum() or not path.is_file():
        raise NotFoundError(f"the store has no file {sha256[:64]}")
    return path


def open_artifact(settings: Settings, sha256: str) -> BinaryIO:
    """Open a file of the store. Raises NotFoundError."""
    return find(settings, sha256).open("rb")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
