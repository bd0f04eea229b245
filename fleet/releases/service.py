"""Artifacts from a file to what gateways may be given: checked, stored, named in the signed metadata."""

from __future__ import annotations

import json
import lzma
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.releases import store
from fleet.releases.models import AGENT, IMAGE, KINDS, PROFILES, Artifact
from fleet.releases.repository import Repository, utc_now

VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){1,3}")
"""Two to four numbers: what may be compared without a doubt."""
NAMES = {
    AGENT: "fengsui-edge-{version}-{hardware}.tar.xz",
    PROFILES: "fengsui-profiles-{version}.tar.xz",
}
"""What gateways look for, by kind."""
RELEASE_FILE = "release.json"
RELEASE_MOST = 64 * 1024
SIDECAR_MOST = 64 * 1024
NOTES_MOST = 2000


@dataclass(frozen=True)
class Made:
    """What an artifact says of itself."""

    kind: str
    version: str
    hardware: tuple[str, ...]
    tree_sha256: str = ""
    unpacked: int = 0


def read_bundle(path: Path) -> Made:
    """Read what a bundle of the agent or of profiles says of itself. Raises InvalidError."""
    try:
        with tarfile.open(path, "r:xz") as archive:
            members = archive.getmembers()
            file = next((member for member in members if member.name.removeprefix("./") == RELEASE_FILE), None)
            content = archive.extractfile(file) if file is not None and file.size <= RELEASE_MOST else None
            if content is None:
                raise InvalidError(f"{path} holds no {RELEASE_FILE}", hint="make it by: make bundle")
            said = json.loads(content.read())
            unpacked = sum(member.size for member in members)
        side = find_sidecar(path)
        told = json.loads(side.read_bytes()) if side.exists() and side.stat().st_size <= SIDECAR_MOST else {}
        made = Made(
            kind=str(said["kind"]),
            version=str(said["version"]),
            hardware=tuple(map(str, said.get("hardware", ()))),
            tree_sha256=str(told.get("tree_sha256", "")),
            unpacked=unpacked,
        )
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"{path} is no bundle: {error}", hint="make it by: make bundle") from error
    if not made.tree_sha256:
        raise InvalidError(f"{side} is missing, or names no tree_sha256", hint="keep it beside the bundle: make bundle")
    return made


def find_sidecar(path: Path) -> Path:
    """Return where what describes a bundle lies: beside it, ``.json`` in the place of ``.tar.xz``."""
    return path.with_name(f"{path.name.removesuffix('.tar.xz')}.json")


def add(services: Services, session: Session, path: Path, by: str, made: Made, notes: str, *, older: bool) -> Artifact:
    """Take an artifact into the store, and stage that it is a target; an image is published at once.

    ``older`` lets it replace a newer version. Raises InvalidError, ConflictError, SetupError.
    """
    _check(made, notes)
    filename = _name(made, path)
    if session.scalar(sa.select(Artifact).where(Artifact.kind == made.kind, Artifact.filename == filename)):
        raise ConflictError(f"{filename} is there already", hint="give what has changed another version")
    now_ns = services.clock()
    kept = store.add(services.settings, path)
    artifact = Artifact(
        kind=made.kind,
        version=made.version,
        hardware=list(made.hardware),
        filename=filename,
        size=kept.size,
        sha256=kept.sha256,
        sha1=kept.sha1,
        md5=kept.md5,
        tree_sha256=made.tree_sha256,
        notes=notes,
        added_ns=now_ns,
        added_by=by,
        published_ns=now_ns if made.kind == IMAGE else None,
    )
    if made.kind != IMAGE:
        custom: dict[str, Any] = {
            "kind": made.kind,
            "version": made.version,
            "hardware": list(made.hardware),
            "tree_sha256": made.tree_sha256,
            "unpacked": made.unpacked,
            "may_replace_newer": older,
        }
        file = store.find(services.settings, kept.sha256)
        find_repository(services).add_target(made.kind, artifact.path, file, custom, utc_now(now_ns))
    session.add(artifact)
    session.flush()
    return artifact


def _check(made: Made, notes: str) -> None:
    if made.kind not in KINDS:
        raise InvalidError(f"there is no kind '{made.kind}'", hint=f"one of: {', '.join(KINDS)}")
    if not VERSION.fullmatch(made.version):
        raise InvalidError(f"'{made.version}' is no version", hint="two to four numbers, such as 1.4.0")
    if made.kind == AGENT and not made.hardware:
        raise InvalidError("the bundle names no hardware", hint="make it by: make bundle")
    if len(notes) > NOTES_MOST:
        raise InvalidError(f"notes of {len(notes)} letters", hint=f"at most {NOTES_MOST}")


def _name(made: Made, path: Path) -> str:
    pattern = NAMES.get(made.kind)
    if pattern is None:
        return path.name
    return pattern.format(version=made.version, hardware=made.hardware[0] if made.hardware else "")


def publish(services: Services, session: Session) -> list[str]:
    """Publish what is staged, and mark the artifacts that the metadata name from now on. Raises InvalidError."""
    repository, now_ns = find_repository(services), services.clock()
    roles = repository.publish(utc_now(now_ns))
    named = {
        path
        for kind in (AGENT, PROFILES)
        if (metadata := repository.newest(kind)) is not None
        for path in metadata.signed.targets
    }
    for artifact in session.scalars(sa.select(Artifact).where(Artifact.kind != IMAGE)):
        if artifact.path not in named:
            artifact.published_ns = None
        elif artifact.published_ns is None:
            artifact.published_ns = now_ns
    return roles


def list_all(session: Session) -> Sequence[Artifact]:
    """Return all artifacts, newest first."""
    return session.scalars(sa.select(Artifact).order_by(Artifact.id.desc())).all()


def get(session: Session, kind: str, version: str) -> Sequence[Artifact]:
    """Return the artifacts of a version. Raises NotFoundError."""
    found = session.scalars(sa.select(Artifact).where(Artifact.kind == kind, Artifact.version == version)).all()
    if not found:
        raise NotFoundError(f"there is no {kind} of version {version}", hint="run: fengsui-fleet release list")
    return found


def find_repository(services: Services) -> Repository:
    """Return the repository of the signed metadata."""
    return Repository(store.find_folder(services.settings))
