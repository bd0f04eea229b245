"""A worker of ingest: a process of its own that commits the messages of some gateways, turn by turn.

    program --turn--> standard input    worker    standard output --outcome--> program

A frame is its length in four octets, big-endian, and msgpack. The first one says where the database is, because a
command line can be read by everybody. The worker ends when its standard input does, so it never outlives its program.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import BinaryIO

import msgspec

from fleet.backlog import Incoming
from fleet.committer import Committer, DatabaseDownError
from fleet.counts import Counts
from fleet.db import Database, build_engine, parse_url
from wire.codec import encode
from wire.topics import Down

LENGTH_OCTETS = 4


class Begin(msgspec.Struct, frozen=True):
    """What a worker must know. ``level`` is of its log."""

    database_url: str
    level: int


class Answer(msgspec.Struct, frozen=True):
    """A reply to a gateway, encoded."""

    gateway: str
    kind: Down
    payload: bytes


class Outcome(msgspec.Struct, frozen=True):
    """What became of a turn: the first ``taken`` of its messages are done with.

    ``fault`` says why the database did not commit; nothing is answered then, and all of the turn was dropped.
    """

    taken: int
    answers: list[Answer]
    counts: Counts
    fault: str = ""


def frame(message: Begin | Outcome | list[Incoming]) -> bytes:
    """Write a frame."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_OCTETS, "big") + body


def commit_turn(committer: Committer, counts: Counts, turn: list[Incoming]) -> Outcome:
    """Commit as much of a turn as one transaction takes. ``counts`` is what the committer counts into."""
    try:
        replies, taken = committer.commit_some(turn)
    except DatabaseDownError as error:
        return Outcome(len(turn), [], counts, str(error))
    return Outcome(taken, [Answer(reply.gateway, reply.kind, encode(reply.message)) for reply in replies], counts)


def serve(turns: BinaryIO, outcomes: BinaryIO) -> None:
    """Work until there are no more turns."""
    begin = msgspec.msgpack.decode(_read(turns), type=Begin)
    logging.getLogger().setLevel(begin.level)
    database = Database(build_engine(parse_url(begin.database_url)))
    total = Total()
    committer = Committer(database, total, time.time_ns)
    try:
        while body := _read(turns):
            turn = msgspec.msgpack.decode(body, type=list[Incoming])
            total.counts = Counts()
            outcomes.write(frame(commit_turn(committer, total.counts, turn)))
            outcomes.flush()
    except BrokenPipeError:
        return  # the program is gone, and nobody waits for the answer
    finally:
        database.close()


class Total:
    """Adds up what the committer counts in one turn."""

    def __init__(self) -> None:
        self.counts = Counts()

    def add(self, more: Counts) -> None:
        """Add counts."""
        self.counts.add(more)


def _read(stream: BinaryIO) -> bytes:
    """Read a frame, b"" at the end, be it in the middle of one."""
    size = int.from_bytes(stream.read(LENGTH_OCTETS), "big")
    body = stream.read(size)
    return body if len(body) == size else b""


def main() -> None:
    """Run as ``python -m fleet.worker``."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The program ends us by closing our input: what is being committed then is still answered or rolled back in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # What a library prints must not get between the frames.
    outcomes = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, outcomes)


if __name__ == "__main__":
    main()
