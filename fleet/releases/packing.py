"""Packs driver profiles into a release: the same files always give the same octets."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
import tempfile
import tomllib
from pathlib import Path

from fleet.errors import InvalidError, SetupError
from fleet.releases.models import PROFILES
from fleet.releases.service import NAMES, RELEASE_FILE, VERSION, find_sidecar
from images.launcher.launch import tree_digest

SUFFIX = ".toml"


def pack_profiles(folder: Path, version: str, out: Path) -> Path:
    """Pack the profiles of a folder, and write beside it what is signed of it. Returns the file.

    Raises InvalidError for no profiles, one that is not TOML, or a version that is none; SetupError for a full disk.
    What is in a profile, the gateway judges: it knows its drivers.
    """
    if not VERSION.fullmatch(version):
        raise InvalidError(f"'{version}' is no version", hint="two to four numbers, such as 1.4")
    files = _read(folder)
    files[RELEASE_FILE] = json.dumps({"kind": PROFILES, "version": version, "hardware": []}).encode()
    path = out / NAMES[PROFILES].format(version=version)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with lzma.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, octets in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(octets), 0o644
                tar.addfile(member, io.BytesIO(octets))
        side = find_sidecar(path)
        side.write_text(json.dumps({"kind": PROFILES, "version": version, "tree_sha256": _digest(files)}), "utf-8")
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}", hint="name another folder") from error
    return path


def _read(folder: Path) -> dict[str, bytes]:
    files = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            files[path.name] = path.read_bytes()
            tomllib.loads(files[path.name].decode("utf-8"))
        except OSError as error:
            raise InvalidError(f"{path} cannot be read: {error.strerror}", hint="name another folder") from error
        except ValueError as error:
            raise InvalidError(f"{path} is not TOML: {error}", hint="run: fengsui-edge profile test") from error
    if not files:
        raise InvalidError(f"there is no profile in {folder}", hint="name the folder of *.toml")
    return files


def _digest(files: dict[str, bytes]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for name, octets in files.items():
            (Path(folder) / name).write_bytes(octets)
        return tree_digest(Path(folder))
