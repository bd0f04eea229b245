"""Two serial ports joined by a cable: ptys, pumped by a thread, since the peers block."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Yield the paths of the two ends."""
    masters, slaves = zip(*(pty.openpty() for _ in range(2)), strict=True)
    for end in (*masters, *slaves):
        tty.setraw(end)
    stop, stopped = os.pipe()
    thread = threading.Thread(target=_pump, args=(*masters, stop))
    thread.start()
    try:
        yield os.ttyname(slaves[0]), os.ttyname(slaves[1])
    finally:
        os.write(stopped, b"x")
        thread.join()
        for end in (*masters, *slaves, stop, stopped):
            os.close(end)


def _pump(one: int, other: int, stop: int) -> None:
    while True:
        ready, _, _ = select.select([one, other, stop], [], [])
        if stop in ready:
            return
        for source, sink in ((one, other), (other, one)):
            if source in ready:
                os.write(sink, os.read(source, 4096))
