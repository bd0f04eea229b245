"""The command line of claims, of gateways that wait, and of certificates."""

from __future__ import annotations

import argparse
import asyncio
import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from fleet.accounts.cli import find_actor
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.certificates import service as certificates
from fleet.certificates.publishing import Announcer, publish_crl
from fleet.claims import journal, service
from fleet.claims.service import Intended
from fleet.errors import InvalidError, SetupError
from provisioning.codes import hash_code, make_code

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]
Work = Callable[[argparse.Namespace, Services], None]
IMPORT_MOST_OCTETS = 8 * 1024 * 1024


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""

    def make(group: Any, name: str, about: str, work: Work) -> argparse.ArgumentParser:
        parser = make_parser(group, name, about)
        parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: work(arguments, services)))
        return parser

    _add_claim(commands.add_parser("claim", help="say which gateways may get in"), make)
    _add_enrolment(commands.add_parser("enrolment", help="let gateways in that wait, or keep them out"), make)
    _add_certificate(commands.add_parser("certificate", help="list and revoke gateways' certificates"), make)


Make = Callable[[Any, str, str, Work], argparse.ArgumentParser]


def _add_claim(parser: argparse.ArgumentParser, make: Make) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    parser = make(actions, "add", "make the claim of one gateway", _claim_add)
    _add_intended(parser)
    _add_replaces(parser)
    _add_days(parser)
    parser = make(actions, "import", "take the claims of many labels, from CSV", _claim_import)
    parser.add_argument("file", type=Path, help=f"its first line names the columns: {','.join(service.COLUMNS)}")
    _add_days(parser)
    parser = make(actions, "scan", "take the code that a gateway shows, and its key", _claim_scan)
    parser.add_argument("code")
    parser.add_argument("key", help="the fingerprint that it shows beside the code")
    _add_intended(parser)
    _add_replaces(parser)
    parser = make(actions, "withdraw", "let a claim that nobody has used expire", _claim_withdraw)
    parser.add_argument("number", type=int)


def _add_enrolment(parser: argparse.ArgumentParser, make: Make) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    make(actions, "list", "list the gateways that wait", _enrolment_list)
    parser = make(actions, "approve", "let one in", _enrolment_approve)
    parser.add_argument("number", type=int)
    _add_intended(parser)
    parser = make(actions, "refuse", "keep one out", _enrolment_refuse)
    parser.add_argument("number", type=int)
    parser = make(actions, "journal", "show what happened to claims and identities", _enrolment_journal)
    parser.add_argument("--gateway", default="", metavar="NAME", help="only of this one")


def _add_certificate(parser: argparse.ArgumentParser, make: Make) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    parser = make(actions, "list", "list a gateway's certificates", _certificate_list)
    parser.add_argument("gateway")
    parser = make(actions, "revoke", "revoke a gateway's certificates and write the list of revoked ones", _revoke)
    parser.add_argument("gateway")
    parser.add_argument("--why", required=True, metavar="TEXT", help="the reason, which is kept")
    make(actions, "crl", "write the list of revoked certificates anew", _crl)


def _add_intended(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gateway", default="", metavar="NAME", help="7 to 63 of a-z, 0-9 and '-'")
    parser.add_argument("--title", default="", help="its name for people")
    parser.add_argument("--site", default="", metavar="KEY", help="the site where it stands")
    parser.add_argument("--template", default="", metavar="NAME", help="the configuration that it is to get")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="variables", help="a variable of the template"
    )
    parser.add_argument("--lat", type=float, help="latitude in degrees")
    parser.add_argument("--lon", type=float, help="longitude in degrees")


def _add_replaces(parser: argparse.ArgumentParser) -> None:
    about = "the gateway whose place it takes; that one is retired when it gets in"
    parser.add_argument("--replaces", default="", metavar="NAME", help=about)


def _add_days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=float, metavar="N", help="how long it may be used; without end if left out")


def _intended(arguments: argparse.Namespace) -> Intended:
    return Intended(
        gateway=arguments.gateway,
        title=arguments.title,
        site=arguments.site,
        template=arguments.template,
        variables=dict(_read_variable(text) for text in arguments.variables),
        lat=arguments.lat,
        lon=arguments.lon,
        replaces=getattr(arguments, "replaces", ""),
    )


def _read_variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidError(f"--set {text}: there is no '='", hint="write --set NAME=VALUE")
    return name, value


@contextmanager
def _changing(services: Services, action: str, target: str, **detail: str) -> Iterator[Session]:
    """Open a session that writes; the audit log tells of it in the same transaction."""
    with services.database.writing() as session:
        yield session
        audit.append(session, services.clock(), find_actor(), action, target, detail)


def _claim_add(arguments: argparse.Namespace, services: Services) -> None:
    code = make_code()
    with _changing(services, "claim.add", arguments.gateway) as session:
        claim = service.add(
            session, hash_code(code), _intended(arguments), getpass.getuser(), services.clock(), arguments.days
        )
        number = claim.id
    print(f"claim {number} is made, its code (shown this once) is: {code}")


def _claim_import(arguments: argparse.Namespace, services: Services) -> None:
    try:
        if arguments.file.stat().st_size > IMPORT_MOST_OCTETS:
            raise SetupError(f"{arguments.file} is larger than {IMPORT_MOST_OCTETS} octets", hint="split the file")
        text = arguments.file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{arguments.file} cannot be read: {error}", hint="save it as CSV in UTF-8") from error
    with _changing(services, "claim.import", arguments.file.name) as session:
        added = service.import_csv(session, text, getpass.getuser(), services.clock(), arguments.days)
    print(f"claims imported: {added}")


def _claim_scan(arguments: argparse.Namespace, services: Services) -> None:
    with _changing(services, "claim.scan", arguments.gateway) as session:
        claim = service.scan_local(
            session, arguments.code, arguments.key, _intended(arguments), getpass.getuser(), services.clock()
        )
        number = claim.id
    print(f"claim {number}: {arguments.gateway} gets in the next time it asks")


def _claim_withdraw(arguments: argparse.Namespace, services: Services) -> None:
    with _changing(services, "claim.withdraw", str(arguments.number)) as session:
        service.withdraw(session, arguments.number, getpass.getuser(), services.clock())
    print(f"claim {arguments.number} is withdrawn")


def _enrolment_list(_: argparse.Namespace, services: Services) -> None:
    with services.database.reading() as session:
        for row in service.waiting(session):
            asks = row.gateway or "(no name)"
            print(f"{row.id}  {_at(row.asked_ns)}  {row.reason}  {asks}  from {row.address}  key {row.key[:16]}")


def _enrolment_approve(arguments: argparse.Namespace, services: Services) -> None:
    with _changing(services, "enrolment.approve", str(arguments.number), gateway=arguments.gateway) as session:
        row = service.approve(session, arguments.number, _intended(arguments), getpass.getuser(), services.clock())
        name = row.gateway
    print(f"{name} gets in the next time it asks")


def _enrolment_refuse(arguments: argparse.Namespace, services: Services) -> None:
    with _changing(services, "enrolment.refuse", str(arguments.number)) as session:
        service.refuse(session, arguments.number, getpass.getuser(), services.clock())
    print(f"{arguments.number} is kept out")


def _enrolment_journal(arguments: argparse.Namespace, services: Services) -> None:
    with services.database.reading() as session:
        for line in journal.newest(session, arguments.gateway):
            words = (_at(line.at_ns), line.event, line.gateway, f"by {line.by}" if line.by else "", line.detail)
            print("  ".join(word for word in words if word))


def _certificate_list(arguments: argparse.Namespace, services: Services) -> None:
    with services.database.reading() as session:
        for row in certificates.list_of_gateway(session, arguments.gateway):
            gone = f"  revoked {_at(row.revoked_ns)} by {row.revoked_by}: {row.revoked_why}" if row.revoked_ns else ""
            print(f"{row.serial}  {_at(row.issued_ns)} to {_at(row.not_after_ns)}  key {row.key[:16]}{gone}")


def _revoke(arguments: argparse.Namespace, services: Services) -> None:
    by, now_ns = getpass.getuser(), services.clock()
    with _changing(services, "certificate.revoke", arguments.gateway, why=arguments.why) as session:
        count = certificates.revoke(session, arguments.gateway, arguments.why, by, now_ns)
        journal.note(session, "revoked", now_ns, gateway=arguments.gateway, by=by, detail=arguments.why)
    print(f"certificates revoked: {count}")
    asyncio.run(Announcer(services).announce())
    print("brokers were told")


def _crl(_: argparse.Namespace, services: Services) -> None:
    path = publish_crl(services)
    told = "the broker has read it" if services.settings.broker_reload else "have an external broker read it anew"
    print(f"the list is in {path}: {told}")


def _at(at_ns: int | None) -> str:
    return datetime.fromtimestamp((at_ns or 0) // service.NS).astimezone().isoformat(" ", "seconds")
