"""The command line of what becomes of a gateway."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from fleet.accounts.cli import find_actor
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.certificates.publishing import Announcer
from fleet.claims import service as claims
from fleet.claims.service import Intended
from fleet.ddi.tokens import make_token
from fleet.gateways import lifecycle
from fleet.gateways import service as gateways
from provisioning.codes import hash_code, make_code

MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]
Work = Callable[[argparse.Namespace, Services], None]


def add(group: Any, make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions to those of ``gateway``."""

    def make(name: str, about: str, work: Work) -> argparse.ArgumentParser:
        parser = make_parser(group, name, about)
        parser.add_argument("name")
        parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: work(arguments, services)))
        return parser

    parser = make("retire", "take a gateway out of service; its history stays", _retire)
    parser.add_argument("--why", required=True, metavar="TEXT", help="the reason, which is kept")
    make("ddi-token", "show the token of a gateway's update client (DDI, TargetToken)", _show_token)
    parser = make("replace", "make a new gateway the claim to another's place", _replace)
    parser.add_argument("--by", required=True, metavar="NEW", help="the new one's name")
    parser.add_argument("--days", type=float, metavar="N", help="how long it may be used; always if left out")
    parser = make("move", "have a gateway stand at another site, which gets its history too", _move)
    parser.add_argument("--site", required=True, metavar="KEY", help="where it stands from now on")
    parser.add_argument("--lat", type=float, help="latitude in degrees; unknown if left out")
    parser.add_argument("--lon", type=float, help="longitude in degrees")


def _show_token(arguments: argparse.Namespace, services: Services) -> None:
    actor, now_ns = find_actor(), services.clock()
    with services.database.writing() as session:
        gateways.get(session, arguments.name)
        audit.append(session, now_ns, actor, "gateway.ddi-token", arguments.name, {})
    print(make_token(services.settings.secret_key, arguments.name))


def _replace(arguments: argparse.Namespace, services: Services) -> None:
    name, actor, now_ns, code = arguments.name, find_actor(), services.clock(), make_code()
    intended = Intended(gateway=arguments.by, replaces=name)
    with services.database.writing() as session:
        claim = claims.add(session, hash_code(code), intended, actor.name, now_ns, arguments.days)
        number = claim.id
        audit.append(session, now_ns, actor, "claim.replace", name, {"by": arguments.by, "claim": number})
    print(f"claim {number} is made, its code (shown this once) is: {code}")
    print(f"{name} is retired when {arguments.by} gets in by it")


def _move(arguments: argparse.Namespace, services: Services) -> None:
    name, actor, now_ns = arguments.name, find_actor(), services.clock()
    with services.database.writing() as session:
        lifecycle.move(session, name, arguments.site, arguments.lat, arguments.lon, actor.name, now_ns)
        audit.append(session, now_ns, actor, "gateway.move", name, {"site": arguments.site})
    print(f"gateway {name} stands at {arguments.site}, whose enterprise sees all its history")


def _retire(arguments: argparse.Namespace, services: Services) -> None:
    name, actor, now_ns = arguments.name, find_actor(), services.clock()
    with services.database.writing() as session:
        lifecycle.retire(session, name, arguments.why, actor.name, now_ns)
        audit.append(session, now_ns, actor, "gateway.retire", name, {"why": arguments.why})
    print(f"gateway {name} is retired; it comes back by a new claim")
    if asyncio.run(Announcer(services).announce()):
        print("brokers were told")
