"""The key file without which no interlock writes to the plant: a second yes, which only somebody on site can give.

    gateway = "gw-plant-0001"
    outputs = ["shut-valve"]

It is looked at before each switch, so that taking it away locks at once.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import msgspec

SIZE_MOST = 65_536
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it holds: the gateway's name, and those of the outputs that may write to the plant."""

    gateway: str
    outputs: tuple[str, ...]


class _RefusedError(Exception):
    """Why the file allows nothing. Caught by `Interlock`, which passes it on as a sentence."""


class Interlock:
    """``path`` is None where no key file is set."""

    def __init__(self, gateway: str, path: Path | None) -> None:
        self._gateway = gateway
        self._path = path

    async def find_refusal(self, output: str) -> str:
        """Say why an output may not write to the plant; empty if it may."""
        return await asyncio.to_thread(self._find_refusal, output)

    def _find_refusal(self, output: str) -> str:
        if self._path is None:
            return "locked: interlock_key_file is not set under [outputs]"
        try:
            key = _read(self._path)
        except _RefusedError as error:
            return f"locked: key file {self._path} {error}"
        if key.gateway != self._gateway:
            return f"locked: key file {self._path} is for gateway '{key.gateway}'"
        if output not in key.outputs:
            return f"locked: key file {self._path} does not name '{output}'"
        return ""


def _read(path: Path) -> KeyFile:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _RefusedError(f"cannot be opened: {error.strerror}") from error
    try:
        _check(os.fstat(descriptor))
        return msgspec.toml.decode(os.read(descriptor, SIZE_MOST), type=KeyFile)
    except OSError as error:
        raise _RefusedError(f"cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _RefusedError(f"is no key file: {error}") from error
    finally:
        os.close(descriptor)


def _check(found: os.stat_result) -> None:
    """What others could have written, or put a link to, is no yes of somebody on site."""
    if not stat.S_ISREG(found.st_mode):
        raise _RefusedError("is no regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise _RefusedError("belongs to another user: it must be root's, or that of the agent's user")
    if found.st_mode & OTHERS:
        raise _RefusedError(f"has mode {stat.S_IMODE(found.st_mode):04o}: run chmod 600")
