"""The routes of DDI: ``/<tenant>/controller/v1/<gateway>`` and below. A token speaks, nobody signs in.

Addresses in answers are absolute, below the one that the client asked at. Unknown parts of what it says are ignored.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from flask import Blueprint, Response, abort, current_app, request, send_file
from sqlalchemy.orm import Session

from fleet.api import find_services
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.ddi import service
from fleet.ddi.mapping import Feedback
from fleet.ddi.tokens import is_token
from fleet.errors import DeniedError, FleetError, InvalidError, NotFoundError
from fleet.gateways.models import Gateway
from fleet.releases import store
from fleet.releases.models import IMAGE, Artifact
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CANCELLING, FINISHED
from fleet.throttle import Throttle
from wire.topics import is_gateway

blueprint = Blueprint("ddi", __name__, url_prefix="/<tenant>/controller/v1/<gateway>")

EXTENSION = "fengsui-ddi"
TENANT = "default"
"""There is one fleet at an address, so one tenant."""
BODY_MOST = 64 * 1024
FAILURES_MOST = 20
TARGET, GATEWAY = "TargetToken", "GatewayToken"
Body = TypeVar("Body")


class OutOfServiceError(DeniedError):
    """The gateway was retired or revoked, or there is none of that name."""


class ConfigData(msgspec.Struct, frozen=True):
    """``PUT configData``."""

    data: dict[str, Any]
    mode: str = "merge"


class Asked(msgspec.Struct, frozen=True):
    """One request of a client whose token fits."""

    session: Session
    services: Services
    gateway: Gateway
    base: str

    @property
    def now_ns(self) -> int:
        """The fleet's UTC in ns."""
        return self.services.clock()

    @property
    def hardware(self) -> str:
        """The machine that it says it is, "" if it has not."""
        return service.find_hardware(self.gateway.reported, service.find_client(self.session, self.gateway.name))


View = Callable[..., Any]


def make_door() -> Throttle:
    """Make what counts wrong tokens, by address."""
    return Throttle(time.monotonic, FAILURES_MOST)


def _client(view: View) -> View:
    """Have a view answer a client whose token fits, in a transaction; its answer is JSON."""

    @wraps(view)
    def answer(tenant: str, gateway: str, **path: Any) -> Response:
        services = find_services()
        _check_token(services, tenant, gateway)
        try:
            with services.database.writing() as session:
                row = _find_in_service(session, gateway)
                base = f"{request.url_root}{tenant}/controller/v1/{gateway}"
                answered = view(Asked(session, services, row, base), **path)
        except OutOfServiceError as error:
            _note_refusal(services, gateway, str(error))
            return _json({"message": str(error)}, 403)
        except service.GoneError as error:
            return _json({"message": str(error)}, 410)
        except NotFoundError as error:
            return _json({"message": str(error)}, 404)
        except FleetError as error:
            return _json({"message": f"{error}. {error.hint}"}, 400)
        return answered if isinstance(answered, Response) else _json(answered)

    return answer


def _find_in_service(session: Session, gateway: str) -> Gateway:
    row = session.get(Gateway, gateway)
    if row is None or row.retired_ns is not None or row.barred_ns is not None:
        raise OutOfServiceError(f"'{gateway}' is not in service", hint="a new claim brings it back")
    return row


def _check_token(services: Services, tenant: str, gateway: str) -> None:
    door: Throttle = current_app.extensions[EXTENSION]
    address = request.remote_addr or ""
    if door.wait_s(address) > 0:
        abort(429)
    if tenant != TENANT or not is_gateway(gateway):
        abort(404)
    kind, _, token = (request.headers.get("Authorization") or "").partition(" ")
    settings = services.settings
    fits = (kind == TARGET and is_token(settings.secret_key, gateway, token)) or (
        kind == GATEWAY and bool(settings.ddi_gateway_token) and hmac.compare_digest(
            settings.ddi_gateway_token.encode(), token.encode()
        )
    )  # fmt: skip
    if not fits:
        door.note_failure(address)
        _note_refusal(services, gateway, f"wrong {kind[:20] or 'token'}")
        abort(401)
    door.forget(address)


def _note_refusal(services: Services, gateway: str, why: str) -> None:
    with services.database.writing() as session:
        actor = Actor("", "ddi", request.remote_addr or "")
        audit.append(session, services.clock(), actor, "ddi", gateway, {"why": why}, audit.REFUSED)


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, mimetype="application/json")


def _read(kind: type[Body]) -> Body:
    if (request.content_length or 0) > BODY_MOST:
        raise InvalidError("the body is too large", hint=f"at most {BODY_MOST} octets")
    try:
        return msgspec.json.decode(request.get_data(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"the body is not understood: {error}", hint="see hawkBit's DDI API") from error


@blueprint.get("")
@_client
def poll(asked: Asked) -> Response:
    """Say what there is to do: at most one of a deployment and a cancellation."""
    client = service.find_client(asked.session, asked.gateway.name)
    client.asked_ns = asked.now_ns
    links: dict[str, dict[str, str]] = {}
    action = service.find_due(asked.session, client, asked.hardware, asked.now_ns)
    if action is not None:
        kind = "cancelAction" if action.state == CANCELLING else "deploymentBase"
        links[kind] = {"href": f"{asked.base}/{kind}/{action.id}"}
    installed = service.find_installed(asked.session, asked.gateway.name)
    if installed is not None:
        links["installedBase"] = {"href": f"{asked.base}/installedBase/{installed.id}"}
    if service.needs_attributes(client, asked.now_ns):
        links["configData"] = {"href": f"{asked.base}/configData"}
    answer = _json({"config": {"polling": {"sleep": _write_time(asked.services.settings.ddi_poll_s)}}, "_links": links})
    answer.add_etag()
    answer.make_conditional(request)
    return answer


def _write_time(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@blueprint.put("/configData")
@_client
def put_config_data(asked: Asked) -> dict[str, Any]:
    """Take what a client says that it is."""
    told = _read(ConfigData)
    client = service.find_client(asked.session, asked.gateway.name)
    service.take_attributes(client, told.mode, told.data, asked.now_ns)
    return {}


@blueprint.get("/deploymentBase/<int:action_id>")
@_client
def get_deployment(asked: Asked, action_id: int) -> dict[str, Any]:
    """Describe what an action installs."""
    return _describe(asked, service.get_offered(asked.session, asked.gateway.name, action_id))


@blueprint.get("/installedBase/<int:action_id>")
@_client
def get_installed(asked: Asked, action_id: int) -> dict[str, Any]:
    """Describe what an action has installed."""
    return _describe(asked, service.get_in_state(asked.session, asked.gateway.name, action_id, FINISHED))


def _describe(asked: Asked, action: UpdateAction) -> dict[str, Any]:
    artifact = service.get_artifact(asked.session, action, asked.hardware)
    mode = "forced" if action.is_forced else "attempt"
    chunk = {
        "part": "os",
        "version": action.version,
        "name": artifact.filename,
        "artifacts": [_describe_file(asked, artifact)],
    }
    deployment: dict[str, Any] = {"download": mode, "update": mode, "chunks": [chunk]}
    if action.until_ns is not None:
        is_open = service.may_install(action, asked.now_ns)
        deployment["maintenanceWindow"] = "available" if is_open else "unavailable"
    return {"id": str(action.id), "deployment": deployment}


def _describe_file(asked: Asked, artifact: Artifact) -> dict[str, Any]:
    href = f"{asked.base}/softwaremodules/{artifact.id}/artifacts/{quote(artifact.filename)}"
    return {
        "filename": artifact.filename,
        "hashes": {"sha1": artifact.sha1, "md5": artifact.md5, "sha256": artifact.sha256},
        "size": artifact.size,
        "_links": {
            "download": {"href": href},
            "download-http": {"href": href},
            "md5sum": {"href": f"{href}.MD5SUM"},
            "md5sum-http": {"href": f"{href}.MD5SUM"},
        },
    }


@blueprint.post("/deploymentBase/<int:action_id>/feedback")
@_client
def post_feedback(asked: Asked, action_id: int) -> dict[str, Any]:
    """Take how an action goes."""
    action = service.get_action(asked.session, asked.gateway.name, action_id)
    service.take_feedback(asked.session, action, _read(Feedback), asked.now_ns)
    return {}


@blueprint.get("/cancelAction/<int:action_id>")
@_client
def get_cancel(asked: Asked, action_id: int) -> dict[str, Any]:
    """Say which action is called off."""
    action = service.get_in_state(asked.session, asked.gateway.name, action_id, CANCELLING)
    return {"id": str(action.id), "cancelAction": {"stopId": str(action.id)}}


@blueprint.post("/cancelAction/<int:action_id>/feedback")
@_client
def post_cancel_feedback(asked: Asked, action_id: int) -> dict[str, Any]:
    """Take whether a client agrees."""
    action = service.get_action(asked.session, asked.gateway.name, action_id)
    service.take_cancel_feedback(asked.session, action, _read(Feedback), asked.now_ns)
    return {}


@blueprint.get("/softwaremodules/<int:module_id>/artifacts")
@_client
def list_artifacts(asked: Asked, module_id: int) -> list[dict[str, Any]]:
    """List the files of a module: it has one."""
    return [_describe_file(asked, _artifact(asked, module_id))]


@blueprint.get("/softwaremodules/<int:module_id>/artifacts/<filename>")
@_client
def download(asked: Asked, module_id: int, filename: str) -> Response:
    """Give a file, whole or in a range, or its MD5."""
    artifact = _artifact(asked, module_id)
    if filename == f"{artifact.filename}.MD5SUM":
        return Response(f"{artifact.md5}  {artifact.filename}", mimetype="text/plain")
    if filename != artifact.filename:
        raise NotFoundError(f"there is no file '{filename[:100]}'")
    answer: Response = send_file(
        store.find(asked.services.settings, artifact.sha256),
        mimetype="application/octet-stream",
        conditional=True,
        etag=artifact.sha256,
    )
    return answer


def _artifact(asked: Asked, module_id: int) -> Artifact:
    artifact = asked.session.get(Artifact, module_id)
    is_image = artifact is not None and artifact.kind == IMAGE and artifact.published_ns is not None
    if artifact is None or not is_image or not service.may_fetch(asked.session, asked.gateway.name, artifact):
        raise NotFoundError(f"there is no module {module_id}")
    return artifact
