"""What all parts of the HTTP API share: the way to the services, who is asking, and the one mapper of errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from apiflask import APIBlueprint, Schema
from apiflask.fields import Integer, String
from apiflask.validators import Range
from flask import Flask, Response, current_app, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from fleet.accounts import scope
from fleet.accounts.service import Identity
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.errors import FleetError

EXTENSION = "fengsui-services"
PREFIX = "/api"
READING = "reading"
"""Where a request keeps the session that it reads from, while one is open."""

INT_MAX = 2**63 - 1
"""The largest number that a database column holds."""


class PageQuery(Schema):
    """Which part of a list, newest first."""

    gateway = String(load_default=None, metadata={"description": "Only of this gateway"})
    before = Integer(
        load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Only what has a smaller id"}
    )
    limit = Integer(load_default=100, validate=Range(1, 1000))


def find_services() -> Services:
    """Return the services of the application at work."""
    services: Services = current_app.extensions[EXTENSION]
    return services


def find_account() -> Identity:
    """Return who is asking. `fleet.guard` has seen to it that there is somebody."""
    account: Identity = current_user._get_current_object()
    return account


@contextmanager
def reading() -> Iterator[Session]:
    """Open a session that sees what the account may see. A view opens no other to read.

    What is opened inside is the same one: on SQLite a second one would wait for a writer that waits for the first.
    """
    if READING in g:
        yield g.get(READING)
        return
    account = current_user._get_current_object()
    account_id = account.scope if account.is_authenticated else scope.NOBODY
    with scope.reading(find_services().database, account_id) as session:
        setattr(g, READING, session)
        try:
            yield session
        finally:
            g.pop(READING)


@contextmanager
def changing(action: str, target: str = "", **detail: Any) -> Iterator[Session]:
    """Open a session that writes; the audit log tells of it in the same transaction. A view opens no other to write."""
    services = find_services()
    with services.database.writing() as session:
        yield session
        audit.append(session, services.clock(), find_actor(), action, target, detail)


def find_actor() -> Actor:
    """Return who is asking, as the audit log names them."""
    address = request.remote_addr or ""
    account = current_user._get_current_object()
    return Actor(account.name, account.via, address) if account.is_authenticated else Actor("", "", address)


def make_blueprint(name: str) -> APIBlueprint:
    """Make the blueprint of one part of the API: its errors as JSON. `fleet.guard` lets nobody in who may not."""
    blueprint = APIBlueprint(f"api_{name}", name, url_prefix=PREFIX, tag=name)
    blueprint.register_error_handler(HTTPException, show_http_error)
    return blueprint


def show_http_error(error: HTTPException) -> tuple[Response, int]:
    """Answer with JSON what Flask or a check of the input found wrong."""
    return jsonify(error=error.description or error.name, detail=getattr(error, "data", None)), error.code or 500


def add_error_mapper(app: Flask) -> None:
    """Map our errors to answers, in this one place."""
    app.register_error_handler(FleetError, _show_fleet_error)
    app.register_error_handler(SQLAlchemyError, _show_database_error)


def _show_fleet_error(error: FleetError) -> tuple[Response, int]:
    return jsonify(error=str(error), hint=error.hint), error.status


def _show_database_error(error: SQLAlchemyError) -> ResponseReturnValue:
    current_app.logger.error("the database does not answer: %s", error)
    if request.path.startswith(PREFIX):
        return jsonify(error="the database does not answer", hint="try again in a moment"), 503
    page: ResponseReturnValue = current_app.handle_http_exception(ServiceUnavailable())
    return page


def dump(value: Any) -> Any:
    """Turn what a service returned into what JSON can hold; a number that is not finite becomes null."""
    return msgspec.json.decode(msgspec.json.encode(value))
