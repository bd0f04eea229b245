"""Serves the signed metadata and the artifacts they name: ``/releases``. Public: what is signed needs no secret.

Files are served whole or in ranges, with their SHA-256 as ETag, so that a gateway goes on where its link broke off.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from flask import Blueprint, Response, abort, send_file

from fleet.api import find_services
from fleet.errors import NotFoundError
from fleet.releases import store
from fleet.releases.models import IMAGE, Artifact
from fleet.releases.service import find_repository

blueprint = Blueprint("releases", __name__, url_prefix="/releases")

METADATA = re.compile(r"(\d{1,9}\.(root|targets|agent|profiles|snapshot)|timestamp)\.json")
TARGET = re.compile(r"([0-9a-f]{64})\.([A-Za-z0-9][A-Za-z0-9._-]{0,199})")
"""A target's name in a repository with consistent snapshots: its hash stands before it (TUF, 6.1)."""
YEAR_S = 31_536_000


@blueprint.get("/metadata/<name>")
def show_metadata(name: str) -> Response:
    """Return a file of the signed metadata."""
    path = find_repository(find_services()).published / name
    if not METADATA.fullmatch(name) or not path.is_file():
        abort(404)
    answer: Response = send_file(path, mimetype="application/json", conditional=True, max_age=0)
    return answer


@blueprint.get("/targets/<kind>/<name>")
def show_target(kind: str, name: str) -> Response:
    """Return a published artifact, whole or in a range."""
    named, services = TARGET.fullmatch(name), find_services()
    if named is None:
        abort(404)
    with services.database.reading() as session:
        query = sa.select(Artifact).where(
            Artifact.kind == kind, Artifact.filename == named[2], Artifact.sha256 == named[1], Artifact.kind != IMAGE
        )
        artifact = session.scalar(query)
        if artifact is None or artifact.published_ns is None:
            abort(404)
    try:
        path = store.find(services.settings, artifact.sha256)
    except NotFoundError:
        abort(404)
    answer: Response = send_file(
        path, mimetype="application/octet-stream", conditional=True, etag=artifact.sha256, max_age=YEAR_S
    )
    return answer
