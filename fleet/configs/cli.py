"""The command line of configuration templates."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.accounts.cli import find_actor
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.configs import templates
from fleet.errors import SetupError

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    group = commands.add_parser("template", help="keep configurations for gateways of a kind").add_subparsers(
        metavar="ACTION", required=True
    )
    parser = make_parser(group, "add", "add a configuration template, or its next version")
    parser.add_argument("key", help="up to 63 of a-z, 0-9 and '-'")
    parser.add_argument("file", type=Path, help="TOML with [variable.NAME] and the tables of a configuration")
    parser.add_argument("--title", default="", help="its name for people")
    parser.add_argument("--sector", default="", help="chemical, weather, earthquake, ...")
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _add(arguments, services)))
    parser = make_parser(group, "list", "list the templates")
    parser.set_defaults(run=lambda arguments: with_services(arguments, _list))
    parser = make_parser(group, "show", "show a template's document")
    parser.add_argument("key")
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _show(arguments, services)))


def _add(arguments: argparse.Namespace, services: Services) -> None:
    try:
        document = arguments.file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{arguments.file} cannot be read: {error}", hint="name a file with TOML") from error
    now_ns, actor = services.clock(), find_actor()
    with services.database.writing() as session:
        row = templates.add(session, arguments.key, document, arguments.title, arguments.sector, actor.name, now_ns)
        audit.append(session, now_ns, actor, "template.add", row.key, {"version": row.version})
        print(f"template {row.key} is at version {row.version}")


def _list(services: Services) -> None:
    with services.database.reading() as session:
        for row in templates.list_newest(session):
            names = ", ".join(templates.variables_of(row)) or "-"
            print(f"{row.key}  version {row.version}  {row.sector or '-'}  {row.title}  variables: {names}")


def _show(arguments: argparse.Namespace, services: Services) -> None:
    with services.database.reading() as session:
        print(templates.get(session, arguments.key).document)
