"""``fengsui-edge enrol``: get this gateway's identity from the fleet."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from edge.clock import SystemClock
from edge.enrolment import FILE, Enrolment
from edge.identity import IdentityError
from edge.tools.terminal import note, print_json
from provisioning.codes import read_code, write_code
from provisioning.label import draw_terminal, make_local_link
from wire.claim import Issued

EXAMPLES = """\
  fengsui-edge enrol /etc/fengsui/enrol.toml --data /var/lib/fengsui"""

STATUS = "the gateway has an identity; 1 it has none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("file", type=Path, nargs="?", default=Path(FILE), help=f"what says where the fleet is: {FILE}")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the agent's data")


def run(options: argparse.Namespace) -> int:
    """Ask until there is an identity. Raises EdgeError if the file cannot be used."""
    issued = asyncio.run(wait_for_identity(Enrolment(options.file, options.data)))
    if options.json:
        print_json({"gateway": issued.gateway, "broker": issued.broker})
    else:
        print(f"this gateway is {issued.gateway}, its broker is {issued.broker}")
    return 0


async def wait_for_identity(enrolment: Enrolment) -> Issued:
    """Return the identity, asked for until the fleet gives it."""
    issued = enrolment.identity.read()
    if issued is not None:
        return issued
    show_code(enrolment)
    return await enrolment.keeper(SystemClock(), lambda event, detail: note(f"{event}: {detail}")).enrol()


def show_code(enrolment: Enrolment) -> None:
    """Show the code that a technician has to scan, where this gateway made itself one. It is good for its key alone."""
    if not enrolment.shows_code or enrolment.identity.read() is not None:
        return
    try:
        code, key = read_code(enrolment.identity.local_code()), enrolment.identity.fingerprint()
        note(f"type at {enrolment.url}/claim: {write_code(code)}")
        note(f"or open:  {make_local_link(enrolment.url, code, key)}")
        if sys.stderr.isatty():
            note(draw_terminal(make_local_link(enrolment.url, code, key)))
    except IdentityError as error:  # a full disk keeps nobody from acquiring and alarming
        note(f"there is no code yet: {error}. {error.hint}")
