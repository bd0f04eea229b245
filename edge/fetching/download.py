"""One file over any number of broken links: goes on where the last try ended, also after a restart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from edge.fetching.http import FetchError, Http

TRIES_MOST = 8
"""Tries in a row that bring nothing new; each octet more gives it all of them again."""
PAUSE_FIRST_S, PAUSE_MOST_S = 1.0, 60.0
GONE = (404, 410)
Tell = Callable[[int, int], None]
"""Told octets done and in all, before each further one; raises to end it."""


def download(
    http: Http,
    path: str,
    part: Path,
    length: int,
    tell: Tell,
    *,
    budget_bytes_per_s: int = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fill ``part`` with the ``length`` octets of a path; on the disk when this returns.

    Raises FetchError: at once for what is not there, after `TRIES_MOST` tries in a row for a link that brings nothing.
    """
    tries, pause_s = 0, PAUSE_FIRST_S
    while (have := _size(part)) < length:
        tell(have, length)
        try:
            _read_on(http, path, part, length, tell, budget_bytes_per_s, sleep)
        except FetchError as error:
            if error.is_final:
                raise
            if _size(part) > have:
                tries, pause_s = 0, PAUSE_FIRST_S
                continue
            tries += 1
            if tries >= TRIES_MOST:
                raise
            for _ in range(round(pause_s)):
                tell(have, length)  # it may be ended meanwhile
                sleep(1.0)
            pause_s = min(pause_s * 2, PAUSE_MOST_S)
    tell(length, length)


def _read_on(
    http: Http,
    path: str,
    part: Path,
    length: int,
    tell: Tell,
    budget_bytes_per_s: int,
    sleep: Callable[[float], None],
) -> None:
    have = _size(part)
    status, chunks = http.read(path, have)
    if status not in (200, 206):
        hint = "it was withdrawn, or never published" if status in GONE else ""
        raise FetchError(f"{http.url}/{path}: status {status}", hint=hint, is_final=status in GONE)
    if status == 200:
        have = 0  # whoever answers knows no ranges: from the beginning
    with part.open("r+b" if part.exists() else "w+b") as file:
        file.seek(have)
        file.truncate()
        for chunk in chunks:
            if have + len(chunk) > length:
                file.truncate(0)
                said = f"{http.url}/{path} sends more than the {length} octets that are signed"
                raise FetchError(said, hint="the store is damaged, or it is not the fleet", is_final=True)
            file.write(chunk)
            have += len(chunk)
            tell(have, length)
            if budget_bytes_per_s:
                sleep(len(chunk) / budget_bytes_per_s)
        file.flush()
        os.fsync(file.fileno())
    if have < length:
        raise FetchError(f"{http.url}/{path} ended after {have} of {length} octets")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
