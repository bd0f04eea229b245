"""The command line of streets: ``fengsui-fleet streets import FILE``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.accounts.cli import find_actor
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.errors import SetupError
from fleet.quakes import streets

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    about = "say which streets and townships the felt area of an earthquake is told by"
    group = commands.add_parser("streets", help=about).add_subparsers(metavar="ACTION", required=True)
    parser = make_parser(group, "import", "take a list of streets in place of the one before")
    parser.add_argument("file", type=Path, help=f"CSV; its first line names the columns: {','.join(streets.COLUMNS)}")
    parser.set_defaults(run=lambda arguments: _import(arguments, with_services))


def _import(arguments: argparse.Namespace, with_services: WithServices) -> None:
    try:
        text = arguments.file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{arguments.file} cannot be read: {error}", hint="save it as CSV in UTF-8") from error

    def work(services: Services) -> None:
        with services.database.writing() as session:
            count = streets.replace_all(session, text)
            audit.append(session, services.clock(), find_actor(), "streets.import", "", {"streets": count})
        print(f"streets of the district: {count}")

    with_services(arguments, work)
