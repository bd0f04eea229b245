"""The command line of notifications: ``fengsui-fleet notifications check|test``."""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

from fleet.errors import InvalidError, NotFoundError
from fleet.notifications.decide import AlarmNow
from fleet.notifications.message import TRIAL, Notice, compose
from fleet.notifications.rules import Contact, Rules, read
from fleet.settings import load

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data."""
    group = commands.add_parser("notifications", help="look after the rules of notification").add_subparsers(
        metavar="ACTION", required=True
    )
    parser = make_parser(group, "check", "read the rules and say what is wrong with them")
    parser.set_defaults(run=_check)
    parser = make_parser(group, "test", "send a contact a message that says it is a trial")
    parser.add_argument("contact")
    parser.set_defaults(run=_test)


# What speaks HTTP and SMTP is imported where it is needed: every command imports this module.


def _load(arguments: argparse.Namespace) -> Rules:
    from fleet.notifications.program import find_rules

    return read(find_rules(load(arguments.data.resolve())))


def _check(arguments: argparse.Namespace) -> None:
    rules = _load(arguments)
    print(f"the rules are usable: {len(rules.contacts)} contacts, {len(rules.rules)} rules")


def _test(arguments: argparse.Namespace) -> None:
    from fleet.notifications.delivery import UndeliveredError

    rules = _load(arguments)
    contact = rules.find(arguments.contact)
    if contact is None:
        known = ", ".join(sorted(each.name for each in rules.contacts))
        raise NotFoundError(f"there is no contact '{arguments.contact}'", hint=f"use one of: {known}")
    try:
        asyncio.run(_send(rules, contact))
    except UndeliveredError as error:
        raise InvalidError(
            f"{contact.name} was not reached: {error}", hint="correct the contact, or ask its server's log"
        ) from error
    print(f"{contact.name} has taken the trial")


async def _send(rules: Rules, contact: Contact) -> None:
    import httpx

    from fleet.notifications.delivery import TIMEOUT_S, Errand, deliver

    now_ns = time.time_ns()
    alarm = AlarmNow(
        gateway="fleet",
        name="fleet:trial",
        site="",
        sector="",
        place="fleet",
        priority=4,
        standing=0,
        occurrence=now_ns,
        raised_ns=now_ns,
        level="trial",
        title="trial",
        value=None,
        limit=None,
        unit="",
    )
    message = compose(uuid.uuid4().hex, now_ns, [Notice(TRIAL, alarm)])
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as client:
        await deliver(client, Errand(rules, contact, message, now_ns))
