"""Ask a gateway for its log, a bundle, a reading, a recorded line; take the parts that come; put them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.commands import service as commands
from fleet.commands.models import GatewayCommand
from fleet.commands.service import KeyLoader
from fleet.diagnosis.models import DiagnosisPart
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.readings.models import Record
from wire.command import CAPTURE_MOST_S
from wire.record import FileRecord, decode_record

PENDING_MOST = 4
"""Requests of one gateway that wait at once."""
LISTED = 8


class What(msgspec.Struct, frozen=True):
    """What can be asked for: the command, and how its file is kept."""

    command: str
    ending: str
    mime: str


WHATS: Mapping[str, What] = {
    "logs": What("logs", "log.gz", "application/gzip"),
    "bundle": What("support-bundle", "zip", "application/zip"),
    "read": What("read-device", "json", "application/json"),
    "capture": What("capture-bus", "zip", "application/zip"),
}
SECONDS = 10
"""How long a bus is recorded for unless something else is said."""
_OF_COMMAND = {what.command: (word, what) for word, what in WHATS.items()}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and how far it is. ``state``: as of commands, or ``arriving`` until all parts are there."""

    id: str
    what: str
    device: str
    bus: str
    author: str
    issued_ns: int
    state: str
    detail: str
    parts: int
    of: int
    octets: int

    @property
    def is_complete(self) -> bool:
        """Whether there is a file."""
        return 0 < self.of == self.parts


class File(msgspec.Struct, frozen=True):
    """What a gateway sent. The name is ours, never the gateway's."""

    name: str
    mime: str
    content: bytes


def ask(
    session: Session, load_key: KeyLoader, gateway: str, what: str, arguments: dict[str, Any], author: str, now_ns: int
) -> GatewayCommand:
    """Ask a gateway. Raises InvalidError for what cannot be asked, ConflictError if it cannot be asked now."""
    if what not in WHATS:
        raise InvalidError(f"'{what}' cannot be asked for", hint=f"ask for {', '.join(WHATS)}")
    _check(what, arguments)
    waiting = sa.select(sa.func.count()).where(
        GatewayCommand.gateway == gateway,
        GatewayCommand.name.in_(_OF_COMMAND),
        GatewayCommand.answer == "",
        GatewayCommand.expires_ns > now_ns,
    )
    if (session.scalar(waiting) or 0) >= PENDING_MOST:
        raise ConflictError(
            f"gateway '{gateway}' has {PENDING_MOST} such requests before it", hint="wait until it has answered"
        )
    name = WHATS[what].command
    return commands.issue(session, load_key, gateway, name, arguments, author, commands.LIFETIME_S, now_ns)


def make_arguments(what: str, device: str, bus: str, seconds: int | None) -> dict[str, Any]:
    """Put the arguments of a command together of what was filled in. A recording lasts `SECONDS` unless it is said."""
    if seconds is None and what == "capture":
        seconds = SECONDS
    given = {"device": device or None, "bus": bus or None, "seconds": seconds}
    return {key: value for key, value in given.items() if value is not None}


def _check(what: str, arguments: Mapping[str, Any]) -> None:
    if (what == "read") != bool(arguments.get("device")):
        raise InvalidError("a reading, and nothing else, is of a device", hint="name the device that is to be read")
    if (what == "capture") != bool(arguments.get("bus")):
        raise InvalidError("a recording, and nothing else, is of a bus", hint="name the bus that is to be recorded")
    seconds = arguments.get("seconds")
    if seconds is not None and what != "capture":
        raise InvalidError("only a recording lasts for some seconds", hint="leave the seconds out")
    if seconds is not None and not 1 <= seconds <= CAPTURE_MOST_S:
        raise InvalidError(f"a bus is recorded for 1 to {CAPTURE_MOST_S} s", hint="ask again if that is too short")


def note_part(session: Session, gateway: str, record_id: int, part: FileRecord, now_ns: int) -> None:
    """Take a part, if this gateway was asked for it. The first of a number counts, and the number of parts it tells."""
    row = session.get(GatewayCommand, part.command) if commands.ID.fullmatch(part.command) else None
    if row is None or row.gateway != gateway or row.name not in _OF_COMMAND:
        return
    known = session.execute(
        sa.select(DiagnosisPart.number, DiagnosisPart.of).where(DiagnosisPart.command_id == row.id)
    ).all()
    if any(number == part.number or of != part.of for number, of in known):
        return
    session.add(
        DiagnosisPart(
            command_id=row.id,
            number=part.number,
            of=part.of,
            octets=len(part.payload),
            record_id=record_id,
            received_ns=now_ns,
        )
    )
    session.flush()


def list_requests(session: Session, gateway: str, now_ns: int, limit: int = LISTED) -> list[Request]:
    """Return what a gateway was asked, newest first."""
    query = sa.select(GatewayCommand).where(GatewayCommand.gateway == gateway, GatewayCommand.name.in_(_OF_COMMAND))
    rows = session.scalars(query.order_by(GatewayCommand.issued_ns.desc(), GatewayCommand.id).limit(limit)).all()
    return [_describe(session, row, now_ns) for row in rows]


def get(session: Session, gateway: str, command_id: str, now_ns: int) -> Request:
    """Return a request. Raises NotFoundError."""
    row = commands.get(session, gateway, command_id)
    if row.name not in _OF_COMMAND:
        raise NotFoundError(f"command '{command_id}' asked for no file")
    return _describe(session, row, now_ns)


def _describe(session: Session, row: GatewayCommand, now_ns: int) -> Request:
    parts = session.execute(
        sa.select(DiagnosisPart.of, DiagnosisPart.octets).where(DiagnosisPart.command_id == row.id)
    ).all()
    of = parts[0].of if parts else 0
    state = commands.state(row, now_ns)
    return Request(
        id=row.id,
        what=_OF_COMMAND[row.name][0],
        device=str(row.arguments.get("device", "")),
        bus=str(row.arguments.get("bus", "")),
        author=row.author,
        issued_ns=row.issued_ns,
        state="arriving" if state == "done" and (not of or len(parts) < of) else state,
        detail=row.detail,
        parts=len(parts),
        of=of,
        octets=sum(part.octets for part in parts),
    )


def read_file(session: Session, gateway: str, command_id: str, now_ns: int) -> File:
    """Put a file together. Raises NotFoundError for an unknown one, ConflictError while parts of it are missing."""
    request = get(session, gateway, command_id, now_ns)
    query = (
        sa.select(Record.body)
        .join(DiagnosisPart, DiagnosisPart.record_id == Record.id)
        .where(DiagnosisPart.command_id == command_id)
        .order_by(DiagnosisPart.number)
    )
    bodies = session.scalars(query).all()
    if not request.is_complete or len(bodies) != request.of:
        raise ConflictError(
            f"{len(bodies)} of {request.of or 'unknown'} parts are here",
            hint="wait for the rest; after a week files are gone: ask again",
        )
    content = b"".join(part.payload for part in map(decode_record, bodies) if isinstance(part, FileRecord))
    what = WHATS[request.what]
    return File(f"{gateway}-{request.what}-{command_id[:8]}.{what.ending}", what.mime, content)


def prune(session: Session, before_ns: int) -> int:
    """Forget the parts received before ``before_ns``: their records go then. Returns how many."""
    ended = sa.delete(DiagnosisPart).where(DiagnosisPart.received_ns < before_ns)
    return int(session.execute(ended).rowcount)  # type: ignore[attr-defined]
