"""Issue commands, find those to send, and take what a gateway answered."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from fleet.commands.models import GatewayCommand
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.readings.items import escape_text
from provisioning.signing import sign
from wire.command import ANSWERS, LIFETIME_MOST_NS, ORDER_OCTETS_MOST, Command, Order
from wire.record import AuditRecord

NS = 1_000_000_000
LIFETIME_S = 3600
"""How long a command is sent again unless its author says otherwise."""
AUTHOR_MOST = 256
ID_OCTETS = 16
ID = re.compile(r"[0-9a-f]{32}")
KeyLoader = Callable[[], Ed25519PrivateKey]


def names(session: Session, gateway: str) -> tuple[str, ...]:
    """Return the commands that a gateway has reported to carry out."""
    reported = (gateways.get(session, gateway).reported or {}).get("commands", [])
    return tuple(name for name in reported if isinstance(name, str))


def issue(
    session: Session,
    load_key: KeyLoader,
    gateway: str,
    name: str,
    arguments: dict[str, Any],
    author: str,
    lifetime_s: float,
    now_ns: int,
) -> GatewayCommand:
    """Sign a command and keep it to be sent. What its arguments mean is for the gateway to judge.

    Raises NotFoundError for an unknown gateway, ConflictError if it does not carry out such commands, InvalidError if
    the command cannot be written down.
    """
    known = names(session, gateway)
    if name not in known:
        said = f"it knows: {', '.join(known)}" if known else "it has no key, an early release, or has not reported yet"
        raise ConflictError(f"gateway '{gateway}' does not carry out '{name}'", hint=said)
    lifetime_ns = int(lifetime_s * NS)
    if not 0 < lifetime_ns <= LIFETIME_MOST_NS:
        raise InvalidError("a command lives up to 7 days", hint="let it expire sooner")
    order = Order(
        id=secrets.token_hex(ID_OCTETS),
        gateway=gateway,
        name=name,
        arguments=arguments,
        issued_ns=now_ns,
        expires_ns=now_ns + lifetime_ns,
        author=author[:AUTHOR_MOST],
    )
    try:
        command = sign(load_key(), order)
    except (OverflowError, TypeError, ValueError) as error:
        raise InvalidError(f"the arguments cannot be written down: {error}") from error
    if len(command.order) > ORDER_OCTETS_MOST:
        raise InvalidError(f"the arguments are larger than {ORDER_OCTETS_MOST} octets")
    row = GatewayCommand(
        id=order.id,
        gateway=gateway,
        name=name,
        arguments=arguments,
        author=order.author,
        issued_ns=order.issued_ns,
        expires_ns=order.expires_ns,
        signed_order=command.order,
        signature=command.signature,
    )
    session.add(row)
    session.flush()
    return row


def get(session: Session, gateway: str, command_id: str) -> GatewayCommand:
    """Return a command. Raises NotFoundError."""
    row = session.get(GatewayCommand, command_id)
    if row is None or row.gateway != gateway:
        raise NotFoundError(f"gateway '{gateway}' was never sent a command '{command_id}'")
    return row


def list_newest(session: Session, gateway: str, limit: int) -> Sequence[GatewayCommand]:
    """Return a gateway's commands, newest first."""
    query = sa.select(GatewayCommand).where(GatewayCommand.gateway == gateway)
    return session.scalars(query.order_by(GatewayCommand.issued_ns.desc(), GatewayCommand.id).limit(limit)).all()


def state(row: GatewayCommand, now_ns: int) -> str:
    """Say how a command stands: ``pending``, ``expired``, ``done``, ``failed``, ``refused`` or ``interrupted``."""
    if row.answer:
        return row.answer.removeprefix("command-")
    return "pending" if now_ns < row.expires_ns else "expired"


def outstanding(session: Session, now_ns: int) -> list[tuple[str, str, Command]]:
    """Return what is neither answered nor expired, oldest first: gateway, id, and the octets to send."""
    query = sa.select(GatewayCommand).where(GatewayCommand.answer == "", GatewayCommand.expires_ns > now_ns)
    rows = session.scalars(query.order_by(GatewayCommand.issued_ns, GatewayCommand.id))
    return [(row.gateway, row.id, Command(order=row.signed_order, signature=row.signature)) for row in rows]


def note_answer(session: Session, gateway: str, record_id: int, record: object, now_ns: int) -> None:
    """Take a record of lane A that may answer a command. The first answer counts, also after the expiry."""
    if not isinstance(record, AuditRecord) or record.event not in ANSWERS or not ID.fullmatch(record.command):
        return
    row = session.get(GatewayCommand, record.command)
    if row is not None and row.gateway == gateway and not row.answer:
        row.answer, row.detail, row.answered_ns = record.event, escape_text(record.detail), now_ns
        row.record_id = record_id
