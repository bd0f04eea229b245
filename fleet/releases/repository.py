"""The signed metadata of releases: a repository by The Update Framework, on python-tuf (docs/operate/releases.md).

    root      offline, thresholded   who may sign what
    targets   offline, thresholded   delegates ``agent`` and ``profiles``
    agent     offline, thresholded   bundles of the agent
    profiles  offline, thresholded   driver profiles
    snapshot, timestamp    online    which of them are the newest

What is signed offline is staged first: files in a folder that travels to the keys and back. Only `publish`, which
checks every threshold, puts it where gateways look.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import JSONSerializer

from fleet.errors import ConflictError, InvalidError, SetupError
from fleet.releases.keys import make_online

DELEGATED = ("agent", "profiles")
OFFLINE = ("root", "targets", *DELEGATED)
OFFLINE_LASTS = timedelta(days=365)
ONLINE_LASTS = timedelta(days=7)
RENEWED_AFTER = timedelta(days=1)
WARNED_BEFORE = timedelta(days=30)
"""So long before what was signed offline ends, people are told."""
JSON = JSONSerializer(compact=False)


class Repository:
    """A repository in a folder. ``now`` is UTC."""

    def __init__(self, folder: Path) -> None:
        self.published = folder / "metadata"
        self.staged = folder / "staged"
        self._keys = folder / "keys"

    # what is there

    def newest(self, role: str) -> Metadata[Any] | None:
        """Return the newest published metadata of a role, None if there is none. Raises SetupError."""
        version = max(self._versions(role), default=0)
        return _read(self.published / f"{version}.{role}.json") if version else None

    def _versions(self, role: str) -> list[int]:
        found = self.published.glob(f"*.{role}.json") if self.published.is_dir() else ()
        return [int(path.name.partition(".")[0]) for path in found if path.name.partition(".")[0].isdecimal()]

    def list_staged(self) -> dict[str, Metadata[Any]]:
        """Return what waits for signatures, by role."""
        return {role: _read(path) for role in OFFLINE if (path := self.staged / f"{role}.json").exists()}

    def missing(self, role: str) -> int:
        """Return how many signatures a staged role still lacks, in all that has to vouch for it. Raises SetupError."""
        staged = self.list_staged()
        waiting = staged[role]
        return max(_lacks(above, role, waiting) for above in self._above(role, staged))

    def _above(self, role: str, staged: Mapping[str, Metadata[Any]]) -> list[Metadata[Any]]:
        """Who vouches for a role: for a root the one before it and itself."""
        if role == "root":
            return [above for above in (self.newest("root"), staged.get("root")) if above is not None]
        name = "targets" if role in DELEGATED else "root"
        above = staged.get(name) or self.newest(name)
        if above is None:
            raise SetupError(f"there is no {name} yet", hint="run: fengsui-fleet release root init")
        return [above]

    # what changes it

    def found(self, root_keys: Sequence[Key], target_keys: Sequence[Key], threshold: int, now: datetime) -> None:
        """Stage the first root and the roles below it. Raises ConflictError, InvalidError."""
        if self.newest("root") is not None or (self.staged / "root.json").exists():
            raise ConflictError("there is a root already", hint="to change its keys: fengsui-fleet release root rotate")
        self._stage("root", Metadata(self._make_root(root_keys, target_keys, threshold, 1, now)))
        self._stage("targets", Metadata(_make_targets(target_keys, threshold, 1, now)))
        for role in DELEGATED:
            self._stage(role, Metadata(Targets(version=1, expires=now + OFFLINE_LASTS)))

    def rotate(self, root_keys: Sequence[Key], target_keys: Sequence[Key], threshold: int, now: datetime) -> None:
        """Stage a root with other keys, and all below it to be signed by them. Raises SetupError, InvalidError."""
        version = self._published("root").signed.version
        self._stage("root", Metadata(self._make_root(root_keys, target_keys, threshold, version + 1, now)))
        version = self._published("targets").signed.version
        self._stage("targets", Metadata(_make_targets(target_keys, threshold, version + 1, now)))
        for role in DELEGATED:
            self._stage(role, self._open(role, now))

    def _make_root(
        self, root_keys: Sequence[Key], target_keys: Sequence[Key], threshold: int, version: int, now: datetime
    ) -> Root:
        for what, keys in (("root", root_keys), ("targets", target_keys)):
            if len({key.keyid for key in keys}) < threshold or threshold < 1:
                raise InvalidError(
                    f"{threshold} of {len(keys)} {what} keys cannot sign", hint="name more keys, each of them once"
                )
        root = Root(version=version, expires=now + OFFLINE_LASTS, consistent_snapshot=True)
        for key in root_keys:
            root.add_key(key, "root")
        for key in target_keys:
            root.add_key(key, "targets")
        root.roles["root"].threshold = root.roles["targets"].threshold = threshold
        for role in ("snapshot", "timestamp"):
            root.add_key(self._online(role).public_key, role)
        return root

    def _online(self, role: str) -> CryptoSigner:
        return make_online(self._keys / f"{role}.key")

    def add_target(self, kind: str, path: str, file: Path, custom: Mapping[str, Any], now: datetime) -> None:
        """Stage that a file is a target. Raises ConflictError for another file of that name."""
        metadata = self._open(kind, now)
        target = TargetFile.from_file(path, str(file))
        target.unrecognized_fields["custom"] = dict(custom)
        known = metadata.signed.targets.get(path)
        if known is not None and known.hashes != target.hashes:
            raise ConflictError(f"{path} is another file already", hint="give what has changed another version")
        metadata.signed.targets[path] = target
        self._stage(kind, metadata)

    def withdraw_target(self, kind: str, path: str, now: datetime) -> None:
        """Stage that a target is none any more. Raises InvalidError."""
        metadata = self._open(kind, now)
        if metadata.signed.targets.pop(path, None) is None:
            raise InvalidError(f"{path} is no target", hint="run: fengsui-fleet release list")
        self._stage(kind, metadata)

    def _published(self, role: str) -> Metadata[Any]:
        metadata = self.newest(role)
        if metadata is None:
            raise SetupError(f"no {role} is published yet", hint="sign it, and run: fengsui-fleet release publish")
        return metadata

    def _open(self, role: str, now: datetime) -> Metadata[Any]:
        """Return what is staged of a role, for another change must not lose it; else its next version. Unsigned."""
        metadata = self.list_staged().get(role)
        if metadata is None:
            metadata = self._published(role)
            metadata.signed.version += 1
        metadata.signed.expires = now + OFFLINE_LASTS
        metadata.signatures.clear()
        return metadata

    def _stage(self, role: str, metadata: Metadata[Any]) -> None:
        self.staged.mkdir(parents=True, exist_ok=True)
        _write(self.staged / f"{role}.json", metadata)

    def publish(self, now: datetime) -> list[str]:
        """Put what is staged and signed enough where gateways look. Returns the roles. Raises InvalidError."""
        staged = self.list_staged()
        lacking = {role: count for role in staged if (count := self.missing(role)) > 0}
        if lacking:
            said = ", ".join(f"{role} lacks {count}" for role, count in lacking.items())
            raise InvalidError(f"signatures are missing: {said}", hint="run: fengsui-fleet release sign --key FILE")
        if not staged:
            raise InvalidError("nothing is staged", hint="run: fengsui-fleet release add FILE")
        for role, metadata in staged.items():
            self._require_new(role, metadata)
        self.published.mkdir(parents=True, exist_ok=True)
        for role, metadata in staged.items():  # root first: what is below it is judged by it
            vouching = {key for above in self._above(role, staged) for key in _get_role(above, role).keyids}
            for stranger in set(metadata.signatures) - vouching:
                del metadata.signatures[stranger]
            _write(self.published / f"{metadata.signed.version}.{role}.json", metadata)
        self.renew(now, is_due=True)
        for role in staged:
            (self.staged / f"{role}.json").unlink()
        return list(staged)

    def _require_new(self, role: str, metadata: Metadata[Any]) -> None:
        """Raise InvalidError for what was copied back after another was published; what a power cut stopped goes on."""
        newest = self.newest(role)
        if newest is None or metadata.signed.version > newest.signed.version:
            return
        if metadata.signed_bytes != newest.signed_bytes:
            raise InvalidError(
                f"version {newest.signed.version} of {role} is published already, and another one than what is staged",
                hint=f"remove {self.staged / role}.json, and stage the change anew",
            )

    def renew(self, now: datetime, *, is_due: bool = False) -> bool:
        """Sign snapshot and timestamp anew, if they are a day old or must be. Returns whether they were."""
        if self.newest("root") is None:
            return False
        timestamp = _read(self.published / "timestamp.json") if (self.published / "timestamp.json").exists() else None
        if timestamp is not None and not is_due and timestamp.signed.expires - now > ONLINE_LASTS - RENEWED_AFTER:
            return False
        before = self.newest("snapshot")
        version = before.signed.version + 1 if before is not None else 1
        meta = {f"{role}.json": MetaFile(version=self._published(role).signed.version) for role in OFFLINE[1:]}
        snapshot = Metadata(Snapshot(version=version, expires=now + ONLINE_LASTS, meta=meta))
        snapshot.sign(self._online("snapshot"))
        _write(self.published / f"{version}.snapshot.json", snapshot)
        number = timestamp.signed.version + 1 if timestamp is not None else 1
        newest = Metadata(
            Timestamp(version=number, expires=now + ONLINE_LASTS, snapshot_meta=MetaFile(version=version))
        )
        newest.sign(self._online("timestamp"))
        _write(self.published / "timestamp.json", newest)
        return True

    def ending(self, now: datetime) -> dict[str, str]:
        """Return which roles that people sign end soon, and when, or cannot be read."""
        found = {role: self._find_end(role, now) for role in OFFLINE}
        return {role: said for role, said in found.items() if said}

    def _find_end(self, role: str, now: datetime) -> str:
        try:
            metadata = self.newest(role)
        except SetupError as error:
            return f"{error}. {error.hint}"
        if metadata is None or metadata.signed.expires - now >= WARNED_BEFORE:
            return ""
        return f"ends {metadata.signed.expires:%Y-%m-%d}: sign it anew with 'release renew'"

    def stage_anew(self, now: datetime) -> list[str]:
        """Stage every offline role once more, to be signed for another year. Returns the roles."""
        for role in OFFLINE:
            self._stage(role, self._open(role, now))
        return list(OFFLINE)


def sign(staged: Path, signer: CryptoSigner) -> list[str]:
    """Sign every staged file that this key may sign, wherever the folder is. Returns the roles. Raises SetupError."""
    files = {role: _read(path) for role in OFFLINE if (path := staged / f"{role}.json").exists()}
    if not files:
        raise SetupError(f"there is nothing to sign in {staged}", hint="name the folder of staged metadata")
    signed = []
    for role, metadata in files.items():
        try:
            metadata.sign(signer, append=True)
        except (UnsignedMetadataError, SerializationError) as error:
            raise SetupError(f"{staged / role}.json cannot be signed: {error}", hint="copy it again") from error
        _write(staged / f"{role}.json", metadata)
        signed.append(role)
    return signed


def _get_role(above: Metadata[Any], role: str) -> Role:
    found: Role = above.signed.get_delegated_role(role)
    return found


def _lacks(above: Metadata[Any], role: str, metadata: Metadata[Any]) -> int:
    result = above.signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    return max(0, int(result.threshold) - len(result.signed))


def _make_targets(keys: Sequence[Key], threshold: int, version: int, now: datetime) -> Targets:
    ids = [key.keyid for key in keys]
    roles = {name: DelegatedRole(name, ids, threshold, terminating=True, paths=[f"{name}/*"]) for name in DELEGATED}
    delegations = Delegations({key.keyid: key for key in keys}, roles)
    return Targets(version=version, expires=now + OFFLINE_LASTS, delegations=delegations)


def utc_now(now_ns: int) -> datetime:
    """Return UTC as the metadata write it: without fractions of a second."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)


def _read(path: Path) -> Metadata[Any]:
    try:
        return Metadata.from_bytes(path.read_bytes())
    except (OSError, RepositoryError, SerializationError) as error:
        raise SetupError(f"{path} cannot be read: {error}", hint="restore it from a backup") from error


def _write(path: Path, metadata: Metadata[Any]) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        with draft.open("wb") as file:
            file.write(metadata.to_bytes(JSON))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}", hint="look at the disk") from error
