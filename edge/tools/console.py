"""``fengsui-edge console``: a technician's laptop at the serial console, a line of JSON each way (`wire.onsite`)."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

import msgspec

from edge.local.exchange import ON_SITE_SOCKET, shortened
from wire.onsite import LINE_MOST, Answer

EXAMPLES = """\
  fengsui-edge console --data /var/lib/fengsui"""

STATUS = "the laptop has gone; 1 the agent does not answer"
ANSWER_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the agent's data")


def run(options: argparse.Namespace) -> int:
    """Hand lines to the agent until the input ends. What is no request is answered, and nothing is asked for it."""
    while line := sys.stdin.buffer.readline(LINE_MOST + 1):
        if line.strip():
            sys.stdout.buffer.write(_answer(line, options.data / ON_SITE_SOCKET))
            sys.stdout.buffer.flush()
    return 0


def _answer(line: bytes, path: Path) -> bytes:
    if not line.endswith(b"\n"):
        error = "the line is too long, or was cut off"
        return msgspec.json.encode(Answer(error=error, name="not-understood", hint="send it again")) + b"\n"
    try:
        return ask(path, line)
    except OSError as error:
        said = f"the agent does not answer: {error.strerror or error}"
        hint = "is it running, with [local] code_file in its configuration?"
        return msgspec.json.encode(Answer(error=said, name="no-agent", hint=hint)) + b"\n"


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
