"""Enrolment over HTTPS: ``/enrol``, ``/enrol/renew`` and ``/enrol/ca``. Nobody signs in here: the claim or key speaks.

What was refused counts against the address that asked, and nothing else does: a thousand gateways may come at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
from flask import Blueprint, Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge

from fleet.api import find_services
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.certificates.models import Certificate
from fleet.claims import enrolment, journal
from fleet.claims.enrolment import Outcome, TurnedAway, Waits
from fleet.claims.strangers import Strangers
from fleet.commands.keys import load_key
from fleet.errors import SetupError
from fleet.throttle import Throttle
from provisioning import authority
from provisioning.codes import hash_code
from provisioning.errors import AuthorityError, RequestError
from provisioning.signing import write_public_key
from wire.claim import Enrol, Issued, Refusal, Renew, Waiting

log = logging.getLogger(__name__)

EXTENSION = "fengsui-doorkeeper"
BODY_MOST_OCTETS = 16 * 1024
FAILURES_MOST = 20
"""Refusals of one address within five minutes, after which it waits."""
INSIDE_MOST = 8
"""Requests that are worked on or wait for their turn; more are asked to come again, so that the console stays quick."""
NOTED_MOST = 30
"""Refusals of strangers within five minutes that journal and audit log take down."""
VIA = "enrol"
"""How those at the door come, as the audit log names it."""
WAIT_S = 15.0
"""When to ask again."""
QUICK_S = 3.0
"""When to ask again while a technician may be standing there."""
QUICK_MOST, QUICK_WITHIN_S = 50, 10.0
"""So many in that time are asked to come again soon; a thousand gateways that wait must not keep the door busy."""
QUICK = (enrolment.UNSCANNED, enrolment.UNASSIGNED)
STATUS = {"claim-unknown": 404, "key-unknown": 404, "claim-used": 409, "claim-expired": 410, "request-too-large": 413}
"""HTTP status by the name of the refusal; 403 for who is turned away otherwise, 422 for what is no request."""
BUSY = Refusal(name="busy", error="the fleet has too much to do just now", hint="it is asked again in a moment")

blueprint = Blueprint("enrol", __name__, url_prefix="/enrol")
Asked = TypeVar("Asked", Enrol, Renew)
Work = Callable[[Session, Services, Asked, str], Outcome]


class Doorkeeper:
    """Counts refusals by address, and those that were taken down; lets in a few at a time; knows who waits.

    They take turns: the database has one writer, and those who waited for it longest would not get it first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.by_address = Throttle(clock, FAILURES_MOST)
        self.noted = Throttle(clock, NOTED_MOST)
        self.room = threading.BoundedSemaphore(INSIDE_MOST)
        self.turn = threading.Lock()
        self.strangers = Strangers(clock)
        self.unknown_codes = Throttle(clock, FAILURES_MOST)
        self._soon = Throttle(clock, QUICK_MOST, QUICK_WITHIN_S)

    def when_again(self, reason: str) -> float:
        """Return in how many seconds one who waits for this reason asks again."""
        if reason not in QUICK or self._soon.wait_s("") > 0:
            return WAIT_S
        self._soon.note_failure("")
        return QUICK_S


def find_doorkeeper() -> Doorkeeper:
    """Return the doorkeeper of the application at work."""
    keeper: Doorkeeper = current_app.extensions[EXTENSION]
    return keeper


@blueprint.post("")
def enrol() -> Response:
    """Take a claim and a request."""

    strangers = find_doorkeeper().strangers

    def work(session: Session, services: Services, asked: Enrol, address: str) -> Outcome:
        outcome = enrolment.enrol(session, services.authority, asked, address, services.clock())
        if isinstance(outcome, Waits) and outcome.reason == enrolment.UNSCANNED:
            strangers.note(hash_code(asked.claim), outcome.key, asked.checks)
        return outcome

    return _answer(Enrol, work)


@blueprint.post("/renew")
def renew() -> Response:
    """Take a request by a key that has a certificate."""

    def work(session: Session, services: Services, asked: Renew, address: str) -> Outcome:
        return enrolment.renew(session, services.authority, asked, address, services.clock())

    return _answer(Renew, work)


@blueprint.get("/ca")
def show_ca() -> Response:
    """Give the certificate that gateways trust. They know its SHA-256 beforehand."""
    try:
        return Response(authority.to_pem([find_services().authority.services.root]), mimetype="application/x-pem-file")
    except SetupError as error:
        return _json(503, Refusal(name="no-authority", error=str(error), hint=error.hint))


def _answer(kind: type[Asked], work: Work[Asked]) -> Response:
    keeper = find_doorkeeper()
    if not keeper.room.acquire(blocking=False):
        return _json(503, BUSY)
    try:
        with keeper.turn:
            return _decide(keeper, kind, work)
    except SQLAlchemyError as error:
        log.error("nobody can enrol, the database does not answer: %s", error)
        return _json(503, BUSY)
    finally:
        keeper.room.release()


def _decide(keeper: Doorkeeper, kind: type[Asked], work: Work[Asked]) -> Response:
    address = request.remote_addr or ""
    wait_s = keeper.by_address.wait_s(address)
    if wait_s > 0:
        refusal = Refusal(name="too-many-refusals", error="too many refusals of this address", hint="try again later")
        answer = _json(429, refusal)
        answer.headers["Retry-After"] = str(int(wait_s) + 1)
        return answer
    services = find_services()
    try:
        asked = _read(kind)
        with services.database.writing() as session:
            outcome = work(session, services, asked, address)
            _note_outcome(session, outcome, address, services.clock())
    except RequestError as error:
        _note_stranger(services, keeper, error.name, address)
        status = STATUS.get(error.name, 422)
        return _json(status, Refusal(name=error.name, error=str(error), hint=error.hint))
    except (SetupError, AuthorityError) as error:
        log.error("nobody can enrol: %s", error)
        return _json(503, Refusal(name="no-authority", error=str(error), hint=error.hint))
    return _tell(services, keeper, outcome, address)


def _note_outcome(session: Session, outcome: Outcome, address: str, now_ns: int) -> None:
    """Write down who gets no certificate, of those whose claim or key is known."""
    match outcome:
        case TurnedAway(name=name, gateway=gateway):
            journal.note(session, "refused", now_ns, gateway=gateway, by=address, detail=name)
            _audit(session, address, now_ns, gateway, refusal=name)
        case Waits(reason=reason, gateway=gateway, has_begun=True):
            _audit(session, address, now_ns, gateway, waits=reason)


def _audit(session: Session, address: str, now_ns: int, gateway: str = "", **detail: str) -> None:
    audit.append(session, now_ns, Actor("", VIA, address), "enrol", gateway, detail, audit.REFUSED)


def _read(kind: type[Asked]) -> Asked:
    request.max_content_length = BODY_MOST_OCTETS
    try:
        return msgspec.json.decode(request.get_data(), type=kind)
    except RequestEntityTooLarge as error:
        raise RequestError("request-too-large", f"more than {BODY_MOST_OCTETS} octets", hint="send less") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = f"send JSON with the fields {', '.join(kind.__struct_fields__)}"
        raise RequestError("request-unreadable", f"this is no request: {error}", hint=hint) from error


def _note_stranger(services: Services, keeper: Doorkeeper, name: str, address: str) -> None:
    keeper.by_address.note_failure(address)
    log.warning("refused %s: %s", address, name)
    if keeper.noted.wait_s("") <= 0:
        keeper.noted.note_failure("")
        with services.database.writing() as session:
            journal.note(session, "refused", services.clock(), by=address, detail=name)
            _audit(session, address, services.clock(), refusal=name)


def _tell(services: Services, keeper: Doorkeeper, outcome: Outcome, address: str) -> Response:
    match outcome:
        case Certificate():
            return _json(200, _describe(services, outcome))
        case Waits():
            return _json(202, Waiting(reason=outcome.reason, retry_s=keeper.when_again(outcome.reason)))
        case TurnedAway():
            keeper.by_address.note_failure(address)
            refusal = Refusal(name=outcome.name, error=outcome.message, hint=outcome.hint)
            return _json(STATUS.get(outcome.name, 403), refusal)


def _describe(services: Services, row: Certificate) -> Issued:
    return Issued(
        gateway=row.gateway,
        certificate=row.pem,
        ca=authority.to_pem([services.authority.services.root]).decode(),
        broker=services.settings.gateways_broker(),
        command_key=write_public_key(load_key(services.settings.data_dir)).decode(),
        time_ns=services.clock(),
    )


def _json(status: int, message: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(message), status=status, mimetype="application/json")
