"""Unpacks an archive into an empty folder. Whatever leads out of it, or is more than was signed, ends that."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from edge.updates.errors import RefusedError

MEMBERS_MOST = 20_000
CHUNK = 1 << 20


def unpack(archive: Path, folder: Path, most_octets: int) -> None:
    """Unpack a .tar.xz of files, folders and links within; durable when this returns.

    Raises RefusedError for anything else in it, OSError if the disk does not take it.
    """
    octets = 0
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for number, member in enumerate(tar):
                octets += member.size
                if number >= MEMBERS_MOST or octets > most_octets:
                    raise RefusedError("the archive holds more than was signed", hint="make the release anew")
                _take(tar, member, folder)
    except (tarfile.TarError, lzma.LZMAError, EOFError, UnicodeError) as error:
        raise RefusedError(f"the archive cannot be read: {error}", hint="make the release anew") from error
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            _sync(path)
    _sync(folder)


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / _inside(member.name, member.name)
    if not path.parent.resolve().is_relative_to(folder.resolve()):  # links that stay inside may lead out together
        raise _leads_out(member.name)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif member.issym():
        _inside(str(PurePosixPath(member.name).parent / member.linkname), member.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(member.linkname)
    elif member.isreg():
        path.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        assert source is not None  # a regular file has octets
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
            os.fchmod(descriptor, 0o755 if member.mode & 0o100 else 0o644)
            os.fsync(descriptor)
    else:
        raise RefusedError(f"'{member.name}' is neither file, folder nor link", hint="make the release anew")


def _inside(name: str, told: str) -> PurePosixPath:
    """Return a name without its detours. Raises RefusedError if it leads out of the folder."""
    depth, parts = 0, PurePosixPath(name).parts
    for part in parts:
        depth += -1 if part == ".." else 0 if part == "." else 1
        if depth < 0 or part == "/" or "\0" in part:
            raise _leads_out(told)
    return PurePosixPath(*(part for part in parts if part != "."))


def _leads_out(told: str) -> RefusedError:
    return RefusedError(f"'{told}' leads out of the folder", hint="nobody makes such a release: tell the fleet")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
