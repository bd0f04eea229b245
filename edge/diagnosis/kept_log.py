"""The agent's recent log, in two files of bounded size: what was said before a crash or a restart is there after it.

A thread of its own writes; lines that it cannot take any more, or that the disk does not, are lost to these files only.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path

from edge.diagnosis.secrets import hide_in_text

FILE = "agent.log"
FILE_OCTETS = 128 * 1024
"""Of each of the two files: a page of lines a minute for some hours."""
LINE_MOST = 4096
WAITING_MOST = 1000
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Formatter(logging.Formatter):
    """Writes a line as it may leave the gateway."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, bounded, without secrets."""
        return hide_in_text(super().format(record))[:LINE_MOST]


class _File(RotatingFileHandler):
    """A full or broken disk is told elsewhere; it must not be told once more for each line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Let the line go."""


class _Queue(QueueHandler):
    """Hands lines over without waiting; one that finds too many before it is let go."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Let the line go."""


@contextmanager
def kept_log(data: Path) -> Iterator[None]:
    """Keep what is logged in the data folder."""
    file = _File(data / FILE, maxBytes=FILE_OCTETS, backupCount=1, encoding="utf-8", errors="replace", delay=True)
    file.setFormatter(_Formatter(FORMAT))
    lines: queue.Queue[logging.LogRecord] = queue.Queue(WAITING_MOST)
    handler, listener = _Queue(lines), QueueListener(lines, file)
    root = logging.getLogger()
    listener.start()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        listener.stop()
        file.close()


def read_log(data: Path, octets: int) -> bytes:
    """Return the newest lines, whole, ``octets`` of them at most; nothing if there is no log. Raises OSError."""
    found = b""
    for path in (data / f"{FILE}.1", data / FILE):
        if path.exists():
            found += path.read_bytes()
    if len(found) <= octets:
        return found
    return found[-octets:].partition(b"\n")[2]
