"""The command line of chains: ``fengsui-fleet chains check|import|list``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.accounts.cli import find_actor
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.chains import rulebook
from fleet.chains.rules import Rule, read
from fleet.chains.sentences import LANGUAGES, Names, write_lines, write_rule
from fleet.chains.showing import find_names
from fleet.errors import SetupError

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    about = "look after what a quake sets going elsewhere"
    group = commands.add_parser("chains", help=about).add_subparsers(metavar="ACTION", required=True)
    parser = make_parser(group, "check", "read rules, say them in words and what is wrong with them")
    _add_file(parser)
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _check(arguments, services)))
    parser = make_parser(group, "import", "keep these rules instead of those there are")
    _add_file(parser)
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _import(arguments, services)))
    parser = make_parser(group, "list", "say the rules in words")
    _add_language(parser)
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _list(arguments, services)))


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="TOML with [[chain]]")
    _add_language(parser)


def _add_language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--language", choices=LANGUAGES, default="zh", help="of the sentences")


def _read(path: Path) -> list[Rule]:
    try:
        return read(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}", hint="name a file with TOML") from error


def _check(arguments: argparse.Namespace, services: Services) -> None:
    rules = _read(arguments.file)
    with services.database.reading() as session:
        rulebook.check_names(session, rules)
        doubts, names = rulebook.find_doubts(session, rules), find_names(session)
    for rule in rules:
        _print(rule, names, arguments.language)
    _print_doubts(doubts)
    print(f"the rules are usable: {len(rules)}")


def _import(arguments: argparse.Namespace, services: Services) -> None:
    rules, now_ns, actor = _read(arguments.file), services.clock(), find_actor()
    with services.database.writing() as session:
        gone = rulebook.put_rules(session, rules, actor.name, now_ns)
        detail = {"rules": [rule.name for rule in rules], "gone": gone}
        audit.append(session, now_ns, actor, "chain.import", "", detail)
        doubts = rulebook.find_doubts(session, rules)
    _print_doubts(doubts)
    print(f"rules: {len(rules)}" + (f", gone: {', '.join(gone)}" if gone else ""))


def _list(arguments: argparse.Namespace, services: Services) -> None:
    with services.database.reading() as session:
        names = find_names(session)
        for row, rule in rulebook.list_rules(session):
            _print(rule, names, arguments.language, "" if row.is_on else " (off)")


def _print(rule: Rule, names: Names, language: str, state: str = "") -> None:
    print(f"{rule.name}{state}  {rule.title}".rstrip())
    for line in write_lines(write_rule(rule, names, language)):
        print(f"  {line}")


def _print_doubts(doubts: list[str]) -> None:
    for doubt in doubts:
        print(f"doubt: {doubt}")
