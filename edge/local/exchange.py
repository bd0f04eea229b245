"""What the command line and the running agent say to each other: one line of JSON each way, over a local socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge.operating import AlarmView, Operation

SOCKET = "alarms.sock"
"""Its name in the data folder."""
ON_SITE_SOCKET = "on-site.sock"
"""The one of the serial console."""
LINE_MOST = 16_384
"""Octets of a question."""
WHERE = "command-line"
NOT_KEPT = "it is not on the disk yet: a power cut would undo it"
"""Said of what was done while the disk takes nothing."""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``operation`` None asks for the list only."""

    operation: Operation | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """``alarms`` as they stand afterwards, ``said`` what came of the operation; or ``error`` and its ``hint``."""

    alarms: tuple[AlarmView, ...] = ()
    said: str = ""
    error: str = ""
    hint: str = ""


@contextmanager
def shortened(path: Path) -> Iterator[str]:
    """Name a socket by its open folder while this lasts: the system takes 107 octets for one, and folders are deeper.

    Raises OSError if the folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
