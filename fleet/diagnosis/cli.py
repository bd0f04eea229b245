"""``fengsui-fleet diagnose``: ask a gateway for its log, a bundle, a reading or a recorded line, and write the file."""

from __future__ import annotations

import argparse
import getpass
import time
from functools import partial
from pathlib import Path

from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.commands.cli import LOOK_S, Actions, MakeParser, UnansweredError, WithServices
from fleet.commands.keys import load_key
from fleet.diagnosis import service
from fleet.errors import SetupError

WAIT_S = 120.0


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the command."""
    parser = make_parser(commands, "diagnose", "ask a gateway for its log, a bundle, a reading, or a recorded line")
    parser.add_argument("gateway")
    parser.add_argument("what", choices=tuple(service.WHATS))
    parser.add_argument("of", nargs="?", default="", help="read: the device; capture: the bus")
    parser.add_argument("--seconds", type=int, metavar="S", help=f"capture: record for so long ({service.SECONDS})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a file that does not exist; else named after gateway")
    parser.add_argument("--wait-s", type=float, default=WAIT_S, metavar="S", help="wait so long for it")
    parser.set_defaults(run=lambda arguments: with_services(arguments, lambda services: _diagnose(arguments, services)))


def _diagnose(arguments: argparse.Namespace, services: Services) -> None:
    what, of = arguments.what, arguments.of
    device, bus = ("", of) if what == "capture" else (of, "")
    given = service.make_arguments(what, device, bus, arguments.seconds)
    key, now_ns, who = partial(load_key, services.settings.data_dir), services.clock(), getpass.getuser()
    with services.database.writing() as session:
        asked = service.ask(session, key, arguments.gateway, what, given, who, now_ns).id
        detail = {"what": what, "device": "", **given}
        audit.append(session, now_ns, Actor(who, "cli"), "diagnosis.ask", arguments.gateway, detail)
    _wait(services, arguments.gateway, asked, arguments.wait_s)
    with services.database.writing() as session:
        file = service.read_file(session, arguments.gateway, asked, services.clock())
        actor = Actor(who, "cli")
        audit.append(session, services.clock(), actor, "diagnosis.download", arguments.gateway, {"request": asked})
    path = arguments.out or Path(file.name)
    try:
        with path.open("xb") as target:
            target.write(file.content)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}", hint="name another file with --out") from error
    print(f"{path}: {len(file.content)} octets")


def _wait(services: Services, gateway: str, asked: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        with services.database.reading() as session:
            request = service.get(session, gateway, asked, services.clock())
        if request.is_complete:
            return
        if request.state not in ("pending", "arriving") or time.monotonic() > deadline:
            raise UnansweredError(f"request {asked} is {request.state}: {request.detail or 'no answer yet'}")
        time.sleep(LOOK_S)
