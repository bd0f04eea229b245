"""``fengsui-edge alarms``: list, acknowledge and shelve the alarms of the running agent, without fleet or page."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge.errors import EdgeError
from edge.local.exchange import SOCKET, WHERE, Answer, Question, shortened
from edge.operating import AlarmView, Operation
from edge.tools.terminal import note, print_json, print_table
from edge.tools.words import format_value
from wire.alarm import SHELVE_MOST_MINUTES, AlarmRequest, state_of

EXAMPLES = """\
  fengsui-edge alarms --data /var/lib/fengsui
  fengsui-edge alarms ack t-101.level:high-high --data /var/lib/fengsui
  fengsui-edge alarms shelve gd-03.gas:high --minutes 30 --reason "calibration" --data /var/lib/fengsui"""

STATUS = "the list was shown, or the alarm took it; 1 it did not, or no agent runs"

DATA = Path("/var/lib/fengsui")
WAIT_S = 10.0
ACTIONS = {
    "list": "",
    "ack": "acknowledge",
    "shelve": "shelve",
    "unshelve": "unshelve",
    "reset": "reset",
    "remove": "remove",
    "restore": "restore",
}
"""Words of the command line, and what they ask for (`wire.alarm.ACTIONS`)."""
NEEDS_REASON = ("shelve", "remove")
NS = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("action", nargs="?", default="list", choices=tuple(ACTIONS), help="what to do (default: list)")
    parser.add_argument("alarm", nargs="?", default="", help="name of the alarm, as the list shows it")
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help=f"the agent's --data (default: {DATA})")
    parser.add_argument(
        "--minutes", type=float, default=30.0, metavar="N", help="shelve: for how long, 0 until it clears (default: 30)"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="shelve, remove: why; goes into the journal")
    parser.add_argument(
        "--occurrence", type=int, default=0, metavar="N", help="ack: only this occurrence, as --json shows it"
    )


def run(options: argparse.Namespace) -> int:
    """Ask the agent and show. Raises EdgeError if there is none, or if the alarm does not take it."""
    answer = ask(options.data / SOCKET, Question(operation=read_operation(options)))
    if answer.error:
        raise EdgeError(answer.error, hint=answer.hint)
    if options.json:
        print_json({"said": answer.said, "alarms": [in_json(alarm) for alarm in answer.alarms]})
    elif answer.said:
        note(answer.said)
    else:
        show(answer.alarms)
    return 0


def read_operation(options: argparse.Namespace) -> Operation | None:
    """Make the operation that was asked for, None for the list. Raises EdgeError if something is missing."""
    action = ACTIONS[options.action]
    if not action:
        return None
    if not options.alarm:
        raise EdgeError(f"{options.action}: which alarm?", hint="name one that 'fengsui-edge alarms' lists")
    if action in NEEDS_REASON and not options.reason.strip():
        raise EdgeError(f"{options.action}: why?", hint='silencing an alarm needs --reason "..."')
    if not 0 <= options.minutes <= SHELVE_MOST_MINUTES:
        raise EdgeError(f"--minutes {options.minutes:g} is not taken", hint=f"0 to {SHELVE_MOST_MINUTES}")
    request = AlarmRequest(
        alarm=options.alarm,
        occurrence=options.occurrence,
        minutes=options.minutes if action == "shelve" else 0.0,
        comment=options.reason.strip(),
    )
    return Operation(action=action, request=request, by=who(), where=WHERE)


def who() -> str:
    """Name who asks: the one behind sudo, if there is one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"uid {os.getuid()}"


def ask(path: Path, question: Question) -> Answer:
    """Ask the agent. Raises EdgeError if it cannot be asked."""
    told = bytearray()
    try:
        with shortened(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(WAIT_S)
            line.connect(name)
            line.sendall(msgspec.json.encode(question) + b"\n")
            while part := line.recv(65_536):
                told += part
        return msgspec.json.decode(told, type=Answer)
    except PermissionError as error:
        raise EdgeError(f"{path} is not yours", hint="use sudo, or the user that the agent runs as") from error
    except OSError as error:
        raise EdgeError(
            f"no agent answers at {path}: {error.strerror or error}",
            hint="start it, or give --data as the agent has it (systemctl cat fengsui-edge)",
        ) from error
    except msgspec.MsgspecError as error:
        raise EdgeError("the agent's answer cannot be read", hint="use the fengsui-edge of its release") from error


def in_json(alarm: AlarmView) -> dict[str, object]:
    """Show an alarm as a document, with its state in words."""
    fields: dict[str, object] = msgspec.to_builtins(alarm)
    return {**fields, "state": state_of(alarm.standing).value}


def show(alarms: tuple[AlarmView, ...]) -> None:
    """Show the list as a table; in a flood the first ten stand first."""
    if not alarms:
        note("no alarms")
        return
    rows = [
        (
            str(alarm.priority),
            alarm.name,
            state_of(alarm.standing).value,
            format_value(alarm.value),
            format_value(alarm.limit),
            _format_time(alarm.raised_ns),
            alarm.source,
            alarm.title,
        )
        for alarm in alarms
    ]
    headers = ("priority", "alarm", "state", "value", "limit", "raised", "source", "title")
    print_table(headers, rows, folds=("source", "title"))


def _format_time(wall_ns: int | None) -> str:
    return f"{datetime.fromtimestamp(wall_ns / NS, UTC).astimezone():%m-%d %H:%M:%S}" if wall_ns is not None else "-"
