"""The command line of accounts: ``fengsui-fleet user add|list|role|sites|password|subject|shut|open|totp|token``."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from fleet import founding
from fleet.accounts import service, tokens, totp
from fleet.accounts.authorization import SCOPES
from fleet.accounts.models import Role
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]
Change = Callable[[Session, argparse.Namespace, int], str]
"""Changes something and returns what to print."""
NS = 1_000_000_000
TOLD = ("role", "sites", "site", "subject", "title", "scope", "days", "off")
"""Arguments that the audit log tells."""


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    group = commands.add_parser("user", aliases=["account"], help="people and their programs").add_subparsers(
        metavar="ACTION", required=True
    )

    def action(name: str, about: str, change: Change) -> argparse.ArgumentParser:
        parser = make_parser(group, name, about)
        parser.add_argument("name", help="the account's name")
        parser.set_defaults(run=lambda arguments: with_services(arguments, _audited(name, change, arguments)))
        return parser

    parser = action("add", "add somebody who signs in", _add)
    parser.add_argument("--role", default=Role.OPERATOR.value, choices=[role.value for role in Role])
    parser.add_argument("--site", action="append", default=[], metavar="KEY", help="a site that an enterprise sees")
    add_password(parser)
    parser = action("role", "give another role; sessions end", _set_role)
    parser.add_argument("role", choices=[role.value for role in Role])
    parser = action("sites", "say which sites an account of an enterprise sees; sessions end", _set_sites)
    parser.add_argument("sites", nargs="*", metavar="KEY", help="none for no site")
    add_password(action("password", "give a new password; sessions end", _set_password))
    parser = action("subject", "say what the OpenID provider calls somebody; sessions end", _set_subject)
    parser.add_argument("subject", nargs="?", metavar="'ISSUER SUB'", help="as the audit log tells it; none to unlink")
    action("shut", "let somebody and their tokens in no longer", _shut)
    action("open", "let somebody in again", _open)
    parser = action("totp", "give a new second factor; sessions end", _set_totp)
    parser.add_argument("--off", action="store_true", help="take it away")
    parser = action("token", "make a token for a program, or end one", _set_token)
    parser.add_argument("title", help="what the token is for")
    parser.add_argument("--scope", action="append", default=[], choices=[str(scope) for scope in SCOPES])
    parser.add_argument("--days", type=int, default=90, help="how long it lasts")
    parser.add_argument("--revoke", action="store_true", help="end the token of that name")
    parser = make_parser(group, "list", "list accounts, their sites and their tokens")
    parser.set_defaults(run=lambda arguments: with_services(arguments, _list))


def add_password(parser: argparse.ArgumentParser) -> None:
    """Add the two ways to hand over a password that no list of processes shows."""
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--password-file", "--admin-password-file", type=Path, metavar="FILE", help="first line of a file"
    )
    given.add_argument("--password-stdin", action="store_true", help="first line of the standard input")


def read_password(arguments: argparse.Namespace) -> str | None:
    """Read the password that was handed over, None if none was."""
    if arguments.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    return founding.read_secret(arguments.password_file) if arguments.password_file else None


def find_actor() -> Actor:
    """Return who works on the command line, as the audit log names them."""
    return Actor(getpass.getuser(), "cli")


def _audited(action: str, change: Change, arguments: argparse.Namespace) -> Callable[[Services], None]:
    def work(services: Services) -> None:
        detail = {key: getattr(arguments, key) for key in TOLD if getattr(arguments, key, None)}
        with services.database.writing() as session:
            told = change(session, arguments, services.clock())
            audit.append(session, services.clock(), find_actor(), f"user.{action}", arguments.name, detail)
        print(told)

    return work


def _add(session: Session, arguments: argparse.Namespace, now_ns: int) -> str:
    given = read_password(arguments)
    password = given if given is not None else secrets.token_urlsafe(founding.PASSWORD_OCTETS)
    service.add(session, arguments.name, password, Role(arguments.role), now_ns)
    if arguments.site:
        service.set_sites(session, arguments.name, arguments.site)
    shown = "" if given is not None else f"\nits password (shown this once) is: {password}"
    return f"account {arguments.name} is added{shown}"


def _set_role(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    service.set_role(session, arguments.name, Role(arguments.role))
    return f"{arguments.name} is now {arguments.role}; sessions have ended"


def _set_sites(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    service.set_sites(session, arguments.name, arguments.sites)
    return f"{arguments.name} sees: {', '.join(arguments.sites) or 'no site'}; sessions have ended"


def _set_password(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    given = read_password(arguments)
    password = given if given is not None else secrets.token_urlsafe(founding.PASSWORD_OCTETS)
    service.set_password(session, arguments.name, password)
    shown = "" if given is not None else f"\nit is (shown this once): {password}"
    return f"{arguments.name} has a new password; sessions have ended{shown}"


def _set_subject(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    service.set_subject(session, arguments.name, arguments.subject)
    return f"{arguments.name} is at the provider: {arguments.subject or 'nobody'}; sessions have ended"


def _shut(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    service.set_enabled(session, arguments.name, False)
    return f"{arguments.name} is shut out; sessions have ended"


def _open(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    service.set_enabled(session, arguments.name, True)
    return f"{arguments.name} may sign in again"


def _set_totp(session: Session, arguments: argparse.Namespace, _now_ns: int) -> str:
    if arguments.off:
        totp.drop(session, arguments.name)
        return f"{arguments.name} signs in without a second factor; sessions have ended"
    made = totp.enrol(session, arguments.name)
    codes = "\n".join(f"  {code}" for code in made.recovery)
    return (
        f"second factor of {arguments.name} (shown this once): {made.secret}\n{made.address}\n"
        f"recovery codes, each works once:\n{codes}"
    )


def _set_token(session: Session, arguments: argparse.Namespace, now_ns: int) -> str:
    if arguments.revoke:
        tokens.revoke(session, arguments.name, arguments.title)
        return f"token '{arguments.title}' of {arguments.name} has ended"
    scopes = arguments.scope or ["read"]
    token = tokens.make(session, arguments.name, arguments.title, scopes, arguments.days, now_ns)
    return f"token '{arguments.title}' of {arguments.name} (shown this once): {token}"


def _list(services: Services) -> None:
    with services.database.reading() as session:
        sites = service.list_sites(session)
        for account in service.list_all(session):
            marks = [account.role, *sites.get(account.id, ())]
            marks += ["second factor"] if account.totp_secret else []
            marks += [] if account.enabled else ["shut out"]
            print(f"{account.name}: {', '.join(marks)}")
        for name, token in tokens.list_all(session):
            end = datetime.fromtimestamp(token.expires_ns // NS, UTC)
            print(f"{name}: token '{token.name}' ({', '.join(token.scopes)}) until {end:%Y-%m-%d %H:%M} UTC")
