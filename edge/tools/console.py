"""``fengsui-edge console``: a technician's laptop at the serial console, a line of JSON each way (`wire.onsite`)."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge.local.exchange import ON_SITE_SOCKET, shortened
from wire.onsite import LINE_MOST, Answer, Marked

EXAMPLES = """\
  fengsui-edge console --data /var/lib/fengsui"""

STATUS = "the laptop has gone; 1 the agent does not answer"
ANSWER_S = 30.0
LEAVE = b"\x04"
"""Ctrl-D: a terminal that hands over octets as they come does not end the input by it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the agent's data")


def run(options: argparse.Namespace) -> int:
    """Hand lines to the agent until the input ends, or Ctrl-D stands alone on a line."""
    path = options.data / ON_SITE_SOCKET
    with _raw(sys.stdin.fileno()):
        relay(sys.stdin.buffer, sys.stdout.buffer, lambda line: ask(path, line))
    return 0


def relay(asked: BinaryIO, answers: BinaryIO, ask: Callable[[bytes], bytes]) -> None:
    """Answer each line that is not empty by ``ask``. What is no request is answered, and nothing is asked for it."""
    while line := asked.readline(LINE_MOST + 1):
        if line.strip() == LEAVE:
            return
        if line.strip():
            answers.write(_answer(line, ask))
            answers.flush()
        while not line.endswith(b"\n") and line:  # the rest of one that is too long is no line of its own
            line = asked.readline(LINE_MOST)


def _answer(line: bytes, ask: Callable[[bytes], bytes]) -> bytes:
    if not line.endswith(b"\n"):
        error = "the line is too long, or was cut off"
        return _write(Answer(error=error, name="not-understood", hint="send it again"))
    try:
        return ask(line)
    except OSError as error:
        said = f"the agent does not answer: {error.strerror or error}"
        hint = "is it running, with [local] code_file in its configuration?"
        return _write(Answer(error=said, name="no-agent", hint=hint, id=_id_of(line)))


def _id_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=Marked).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _write(answer: Answer) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Have a terminal hand over octets as they come while this lasts: it would cut each line at 4096 of them, less
    than a bundle, and send all of it back (termios(3), canonical mode)."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)  # what came before the console began is kept
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def ask(path: Path, line: bytes) -> bytes:
    """Ask the agent once. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, shortened(path) as name:
        connection.settimeout(ANSWER_S)
        connection.connect(name)
        connection.sendall(line)
        with connection.makefile("rb") as answers:
            answer = answers.readline()
    if not answer.endswith(b"\n"):
        raise ConnectionError("it hung up")
    return answer
