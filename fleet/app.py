"""The web application: API, console, sign-in, /healthz and /metrics."""

from __future__ import annotations

import logging
import sqlite3
import time
from importlib.metadata import version

from apiflask import APIBlueprint, APIFlask
from flask import Response, jsonify
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.routing import IntegerConverter, Map

from fleet import console, guard
from fleet.accounts.guesses import Guesses
from fleet.alarms import service as alarms
from fleet.alarms import views as _alarms
from fleet.api import EXTENSION, INT_MAX, PREFIX, add_error_mapper
from fleet.bootstrap import Services
from fleet.chains import views as _chains
from fleet.claims import views as enrolment
from fleet.commands import views as _commands
from fleet.configs import template_views as _templates
from fleet.configs import views as _configs
from fleet.db import Database, build_engine, parse_url
from fleet.ddi import views as ddi
from fleet.diagnosis import views as _diagnosis
from fleet.gateways import service as gateways
from fleet.gateways import views as _gateways
from fleet.kits import views as _kits
from fleet.ledger import views as _ledger
from fleet.livefeed import LiveFeed
from fleet.notifications import views as _notifications
from fleet.quakes import views as _quakes
from fleet.readings import views as _readings
from fleet.relay import views as _relay
from fleet.releases import views as releases
from fleet.rollouts import update_views as _updates
from fleet.rollouts import views as _rollouts
from fleet.sites import views as _sites
from fleet.waveforms import fdsnviews as fdsnws

log = logging.getLogger(__name__)

REQUEST_MAX_OCTETS = 4 * 1024 * 1024
HEALTH_WITHIN_MS = 1000
"""A probe wants an answer sooner than a page does: it waits no longer for another writer."""
BLUEPRINTS = (
    _gateways, _readings, _alarms, _configs, _templates, _commands, _diagnosis, _relay, _ledger, _notifications, _sites,
    _kits, _rollouts, _updates, _quakes, _chains,
)  # fmt: skip


class RowNumber(IntegerConverter):
    """The ``int`` of an address. No row has a larger number than a column holds, so there is no page of it either."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=INT_MAX)


def create_app(services: Services, feed: LiveFeed | None = None) -> APIFlask:
    """Make the application. ``feed`` fills ``services.live``; without one /healthz says nothing of the broker."""
    app = APIFlask(
        "fleet",
        title="Fengsui",
        version=version("fengsui"),
        spec_path=f"{PREFIX}/openapi.json",
        docs_path=None,
        json_errors=False,
        static_folder=None,  # type: ignore[arg-type]
    )
    app.url_map.converters["int"] = RowNumber
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.config["SECRET_KEY"] = services.settings.secret_key
    app.config["MAX_CONTENT_LENGTH"] = REQUEST_MAX_OCTETS
    app.security_schemes = {
        "basic": {"type": "http", "scheme": "basic"},
        "token": {"type": "http", "scheme": "bearer"},
    }
    app.extensions[EXTENSION] = services
    guard.register(app, Guesses(time.monotonic))
    add_error_mapper(app)
    for views in BLUEPRINTS:
        app.register_blueprint(views.blueprint)
    app.extensions[enrolment.EXTENSION] = enrolment.Doorkeeper()
    app.register_blueprint(enrolment.blueprint)
    app.register_blueprint(releases.blueprint)
    app.extensions[ddi.EXTENSION] = ddi.make_door()
    app.register_blueprint(ddi.blueprint)
    app.register_blueprint(fdsnws.blueprint)
    _add_health(app, services, feed)
    _add_metrics(app, services)
    console.register(app, services)
    for blueprint in app.blueprints.values():
        if not isinstance(blueprint, APIBlueprint):
            # The writer of the OpenAPI document asks every blueprint, and Flask's own do not know the question.
            blueprint.enable_openapi = False  # type: ignore[attr-defined]
    return app


def _add_health(app: APIFlask, services: Services, feed: LiveFeed | None) -> None:
    probe = Database(build_engine(parse_url(services.settings.database()), busy_timeout_ms=HEALTH_WITHIN_MS))

    @app.get("/healthz")
    @app.doc(hide=True)
    def show_health() -> tuple[Response, int]:
        reasons = []
        try:
            probe.check()
        except (SQLAlchemyError, sqlite3.Error) as error:  # SQLite's own when already the connection is refused
            reasons.append(f"database: {str(error).splitlines()[0]}")
            log.warning("health: the database does not answer: %s", error)
        finally:
            probe.close()
        state = {"database": not reasons, "broker": feed.broker_up if feed else None}
        if state["broker"] is False:
            reasons.append("broker: not connected")
        if reasons:
            return jsonify(ok=False, reason="; ".join(reasons), **state), 503
        return jsonify(ok=True, **state), 200


def _add_metrics(app: APIFlask, services: Services) -> None:
    registry = CollectorRegistry()
    known = Gauge("fengsui_gateways", "Gateways registered.", registry=registry)
    silent = Gauge("fengsui_gateways_silent", "Gateways not heard of for 30 s.", registry=registry)
    ignored = Gauge("fengsui_live_ignored", "Live values of more tags than a gateway may have.", registry=registry)
    active = Gauge("fengsui_alarms_active", "Active alarms.", ["priority"], registry=registry)

    @app.get("/metrics")
    @app.doc(hide=True)
    def show_metrics() -> Response:
        with services.database.reading() as session:
            rows = gateways.list_all(session)
            now_ns = services.clock()
            known.set(len(rows))
            ignored.set(services.live.ignored)
            silent.set(sum(now_ns - (row.last_seen_ns or 0) > 30_000_000_000 for row in rows))
            active.clear()
            for priority in range(1, 5):
                active.labels(str(priority)).set(0)
            for alarm in alarms.active(session):
                active.labels(str(alarm.priority)).inc()
        return Response(generate_latest(registry), mimetype=CONTENT_TYPE_LATEST)
