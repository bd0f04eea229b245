"""The command line of commands: ``fengsui-fleet command send|list``."""

from __future__ import annotations

import argparse
import getpass
import json
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.commands import service
from fleet.commands.keys import load_key
from fleet.errors import FleetError, InvalidError

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]
LISTED = 20
LOOK_S = 0.5


class UnansweredError(FleetError):
    """The gateway did not answer, or did not do it. The command line ends with status 1."""


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    group = commands.add_parser("command", help="ask gateways to do something once").add_subparsers(
        metavar="ACTION", required=True
    )
    parser = make_parser(group, "send", "ask a gateway to do something once")
    parser.add_argument("gateway")
    parser.add_argument("name", help="such as report, reconnect or log-level")
    parser.add_argument("arguments", nargs="*", metavar="KEY=VALUE", help="such as level=debug minutes=10")
    parser.add_argument("--expires-s", type=float, default=service.LIFETIME_S, metavar="S", help="send it so long")
    parser.add_argument("--wait-s", type=float, default=0.0, metavar="S", help="wait so long for the answer")
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _send(arguments, services)))
    parser = make_parser(group, "list", "list the newest commands of a gateway")
    parser.add_argument("gateway")
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _list(arguments, services)))


def read_arguments(words: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE words; a value is JSON, or else the text that it is. Raises InvalidError."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidError(f"'{word}' is no argument", hint="write KEY=VALUE, for example level=debug")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _send(arguments: argparse.Namespace, services: Services) -> None:
    given = read_arguments(arguments.arguments)
    key, now_ns = partial(load_key, services.settings.data_dir), services.clock()
    with services.database.writing() as session:
        row = service.issue(
            session, key, arguments.gateway, arguments.name, given, getpass.getuser(), arguments.expires_s, now_ns
        )
        command_id = row.id
        actor = Actor(getpass.getuser(), "cli")
        audit.append(session, now_ns, actor, "command.issue", arguments.gateway, {"command": arguments.name})
    print(f"command {command_id} is on its way to {arguments.gateway}")
    if arguments.wait_s > 0:
        _wait(services, arguments.gateway, command_id, arguments.wait_s)


def _wait(services: Services, gateway: str, command_id: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        with services.database.reading() as session:
            row = service.get(session, gateway, command_id)
            state, detail = service.state(row, services.clock()), row.detail
        if state == "done":
            print(f"done: {detail}")
            return
        if state != "pending" or time.monotonic() > deadline:
            raise UnansweredError(f"command {command_id} is {state}{': ' * bool(detail)}{detail}")
        time.sleep(LOOK_S)


def _list(arguments: argparse.Namespace, services: Services) -> None:
    now_ns = services.clock()
    with services.database.reading() as session:
        known = service.names(session, arguments.gateway)
        rows = service.list_newest(session, arguments.gateway, LISTED)
        print(f"carries out: {', '.join(known) or 'no commands'}")
        for row in rows:
            at = datetime.fromtimestamp(row.issued_ns // service.NS).astimezone().isoformat(" ", "seconds")
            print(f"{at}  {row.id}  {service.state(row, now_ns):11}  {row.name}  {row.author}  {row.detail}")
