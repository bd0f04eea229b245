"""From a version to a verified file: a `edge.updates.updater.Source` on `tuf.ngclient`.

The first root is a file of the installation. From there the framework's client follows the chain of roots, and takes no
metadata that are unsigned, older than those it knows, or past their end; then the file must be what they say.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tuf.api.exceptions import (
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater as Client
from tuf.ngclient import UpdaterConfig

from edge.errors import EdgeError
from edge.fetching.download import download
from edge.fetching.http import FetchError, Http, MetadataFetcher
from edge.fetching.unpack import unpack
from edge.updates.errors import RefusedError
from edge.updates.updater import Fetched
from edge.updates.work import Work
from images.launcher.launch import tree_digest

NAMES = {
    "agent": "agent/fengsui-edge-{version}-{hardware}.tar.xz",
    "profiles": "profiles/fengsui-profiles-{version}.tar.xz",
}
"""What a release is called in the signed metadata, by kind."""
VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){1,3}")
BOUNDS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=8,
    root_max_length=256_000,
    timestamp_max_length=16_384,
    snapshot_max_length=256_000,
    targets_max_length=2_000_000,
)
UNPACKED_MOST = 1_000_000_000


class Custom(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed of a release beside its file. ``unpacked`` is in octets."""

    kind: str
    version: str
    hardware: tuple[str, ...] = ()
    tree_sha256: str
    unpacked: int
    may_replace_newer: bool = False


class ReleaseSource:
    """Where releases come from. ``folder`` is the source's own; ``release`` the agent that runs."""

    def __init__(
        self,
        http: Http,
        root_file: Path,
        folder: Path,
        *,
        release: str,
        profiles: Callable[[], str],
        min_free_bytes: int,
        hardware: str = platform.machine(),
    ) -> None:
        self._http = http
        self._root_file = root_file
        self._folder = folder
        self._running = {"agent": lambda: release, "profiles": profiles}
        self._min_free_bytes = min_free_bytes
        self._hardware = hardware
        self._unpacked = 0

    def fetch(self, work: Work, tell: Callable[[int, int], None]) -> Fetched:
        """Return a verified artifact. Raises RefusedError for what must not run here, EdgeError for the rest."""
        target = self._find(work)
        custom = self._check(work, target)
        part = self._folder / f"{target.hashes['sha256']}.part"
        try:
            self._clear(part)
            self._fill(part, target, custom, work, tell)
        except OSError as error:
            raise _blame_disk(error, self._folder) from error
        self._unpacked = custom.unpacked
        return Fetched(archive=part, tree_sha256=custom.tree_sha256)

    def _fill(
        self, part: Path, target: TargetFile, custom: Custom, work: Work, tell: Callable[[int, int], None]
    ) -> None:
        was_begun = part.exists()
        self._check_room(target.length - (part.stat().st_size if was_begun else 0) + custom.unpacked)
        directory, _, name = target.path.rpartition("/")
        path = f"targets/{directory}/{target.hashes['sha256']}.{name}"
        download(self._http, path, part, target.length, tell, budget_bytes_per_s=work.budget_bytes_per_s)
        try:
            with part.open("rb") as file:
                target.verify_length_and_hashes(file)
        except LengthOrHashMismatchError as error:
            part.unlink()
            if was_begun:  # an octet lost in a power cut speaks against no release
                raise EdgeError(
                    f"the file, begun before a restart, is not what was signed: {error}",
                    hint="another attempt fetches it from its beginning",
                ) from error
            raise RefusedError(
                f"the file is not what was signed: {error}",
                hint="somebody changed it on its way, or the store is damaged",
            ) from error

    def unpack(self, fetched: Fetched, folder: Path) -> None:
        """Unpack into an empty folder. Raises RefusedError, or EdgeError if the disk does not take it."""
        try:
            unpack(fetched.archive, folder, self._unpacked)
            digest = tree_digest(folder)
        except (OSError, ValueError) as error:
            raise EdgeError(f"the release cannot be unpacked: {error}", hint="look at the disk") from error
        if digest != fetched.tree_sha256:
            raise RefusedError("the tree is not what was signed", hint="make the release anew, and sign it")

    def clear(self) -> None:
        """Forget what was fetched; what is signed stays."""
        with contextlib.suppress(OSError):  # it goes before the next release comes
            self._clear(None)

    def _clear(self, kept: Path | None) -> None:
        """Forget the files but one: what was begun and given up must not take the room of what comes after it."""
        for path in self._folder.glob("*.part"):
            if path != kept:
                path.unlink(missing_ok=True)
        for path in self._folder.glob("*.tree"):
            shutil.rmtree(path, ignore_errors=True)

    def _find(self, work: Work) -> TargetFile:
        if not VERSION.fullmatch(work.version) or work.kind not in NAMES:
            raise RefusedError(f"'{work.version}' is no version", hint="two to four numbers, such as 1.4.0")
        name = NAMES[work.kind].format(version=work.version, hardware=self._hardware)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            client = Client(
                str(self._folder / "metadata"),
                f"{self._http.url}/metadata",
                fetcher=MetadataFetcher(self._http),
                config=BOUNDS,
                bootstrap=self._root_file.read_bytes(),
            )
            target = client.get_targetinfo(name)
        except ExpiredMetadataError as error:
            raise EdgeError(  # a clock that is wrong for an hour speaks against no release
                f"what the fleet shows is out of date: {error}", hint="is this gateway's clock right, and the fleet's?"
            ) from error
        except DownloadError as error:
            raise FetchError(f"{self._http.url}: {error}", hint="check the link, and [update] url") from error
        except RepositoryError as error:
            raise RefusedError(
                f"the signatures do not hold: {error}", hint="somebody changed them, or it is another fleet"
            ) from error
        except OSError as error:
            raise _blame_disk(error, self._folder) from error
        if target is None:
            raise RefusedError(
                f"nobody has signed {work.kind} {work.version} for {self._hardware}",
                hint="publish it, or choose another version",
            )
        return target

    def _check(self, work: Work, target: TargetFile) -> Custom:
        try:
            custom: Custom = msgspec.convert(_custom_of(target), Custom)
        except msgspec.ValidationError as error:
            raise RefusedError(f"what is signed of it cannot be read: {error}", hint="make it anew") from error
        if (custom.kind, custom.version) != (work.kind, work.version):
            raise RefusedError(f"it is signed as {custom.kind} {custom.version}", hint="make the release anew")
        if custom.hardware and self._hardware not in custom.hardware:
            raise RefusedError(f"it is made for {', '.join(custom.hardware)}, not {self._hardware}")
        if not 0 <= custom.unpacked <= UNPACKED_MOST or "sha256" not in target.hashes:
            raise RefusedError("it is signed without a sane size or digest", hint="make the release anew")
        running = self._running[work.kind]()
        if running and not custom.may_replace_newer and _numbers(work.version) < _numbers(running):
            raise RefusedError(
                f"{running} runs, and {work.version} is older", hint="sign it with --older if that is meant"
            )
        return custom

    def _check_room(self, octets: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < octets + self._min_free_bytes:
            raise EdgeError(
                f"{free} octets are free, and {octets + self._min_free_bytes} are needed", hint="make room on the disk"
            )


def _blame_disk(error: OSError, folder: Path) -> EdgeError:
    return EdgeError(f"{error.filename or folder}: {error.strerror}", hint="look at the disk")


def _custom_of(target: TargetFile) -> dict[str, Any]:
    custom = target.unrecognized_fields.get("custom")
    return custom if isinstance(custom, dict) else {}


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version for comparison: 1.4 is 1.4.0.0; what is no version is before all others."""
    if not VERSION.fullmatch(version):
        return ()
    numbers = tuple(int(part) for part in version.split("."))
    return numbers + (0,) * (4 - len(numbers))
