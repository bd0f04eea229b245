"""The command line of the audit log: ``fengsui-fleet audit verify|head|export``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from fleet.audit import service
from fleet.audit.chain import Head, read_head
from fleet.bootstrap import Services
from fleet.errors import FleetError, InvalidError

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]


class TamperedError(FleetError):
    """The audit log is not as it was written. The command line ends with status 1."""


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    group = commands.add_parser("audit", help="who did what").add_subparsers(metavar="ACTION", required=True)
    parser = make_parser(group, "verify", "find lines that were changed, removed or put in")
    parser.add_argument("--head", default="", metavar="N:HASH", help="what 'audit head' said earlier, kept elsewhere")
    parser.set_defaults(run=lambda arguments: _verify(arguments, with_services))
    parser = make_parser(group, "head", "print the newest line's number and hash, to be noted elsewhere")
    parser.set_defaults(run=lambda arguments: with_services(arguments, _show_head))
    parser = make_parser(group, "export", "write the newest lines as CSV to the standard output")
    parser.add_argument("--limit", type=int, default=service.EXPORTED_MOST, metavar="N")
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _export(services, arguments)))


def _verify(arguments: argparse.Namespace, with_services: WithServices) -> None:
    noted = read_head(arguments.head) if arguments.head else None
    if arguments.head and noted is None:
        raise InvalidError(f"'{arguments.head}' is no head of an audit log", hint="give what 'audit head' printed")
    with_services(arguments, lambda services: _check(services, noted))


def _check(services: Services, noted: Head | None) -> None:
    with services.database.reading() as session:
        troubles = service.check(session, noted)
        head = service.find_head(session)
    if troubles:
        raise TamperedError("the audit log is not as it was written:\n  " + "\n  ".join(troubles))
    print(f"the audit log is whole: {head.number} lines")


def _show_head(services: Services) -> None:
    with services.database.reading() as session:
        print(service.find_head(session))


def _export(services: Services, arguments: argparse.Namespace) -> None:
    with services.database.reading() as session:
        sys.stdout.write(service.write_csv(service.list_lines(session, limit=arguments.limit)))
