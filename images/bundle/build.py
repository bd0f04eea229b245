"""Build the agent's bundle: `make bundle`, `VERSION=1.2.3 make bundle`.

    build/bundle/frozen/fengsui-edge/      what PyInstaller made; made again only if a source is another
    build/bundle/tree/                     a slot's content: fengsui-edge/ and release.json
    dist/fengsui-edge-<version>-<machine>.tar.xz, .json      the tree packed, and what describes the file

The same commit gives the same octets, wherever and whenever it is built on one Debian release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from images.launcher.launch import PROGRAM, tree_digest

SOURCES = (
    "wire",
    "seismic",
    "drivers",
    "edge",
    "provisioning",
    "images/bundle",
    "images/launcher",
    "requirements/edge.txt",
)
KIND = "agent"


def freeze(root: Path, work: Path, when_s: int) -> Path:
    """Have PyInstaller make the agent's folder, unless what stands in ``work`` is of the same sources. Returns it."""
    frozen, stamp = work / "frozen" / "fengsui-edge", work / "sources"
    sources = digest_sources(root)
    if frozen.is_dir() and stamp.exists() and stamp.read_text() == sources:
        return frozen
    stamp.unlink(missing_ok=True)
    options = [
        "--noconfirm",
        "--clean",
        "--log-level=WARN",
        f"--distpath={work / 'frozen'}",
        f"--workpath={work / 'work'}",
    ]
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(when_s),
        "PYTHONPATH": str(root),
    }
    command = [sys.executable, "-m", "PyInstaller", *options, "fengsui-edge.spec"]
    subprocess.run(command, cwd=root / "images/bundle", env=environment, check=True)  # noqa: S603 - our own words
    stamp.write_text(sources)
    return frozen


def digest_sources(root: Path) -> str:
    """SHA-256 over all that goes into the frozen agent."""
    total = hashlib.sha256(sys.version.encode())
    for path in _files(root, SOURCES):
        total.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _files(root: Path, names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        found = [root / name, *(root / name).rglob("*")]
        yield from sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def read_commit(root: Path) -> tuple[str, int]:
    """Read what is built: the commit, marked if there is more than it, and its time in seconds since 1970."""
    show, compare = ["git", "log", "-1", "--format=%H %ct"], ["git", "diff", "--quiet", "HEAD"]
    answer = subprocess.run(show, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    commit, when = answer.stdout.split()
    is_changed = subprocess.run(compare, cwd=root, check=False).returncode != 0  # noqa: S603 - our own words
    return f"{commit}-changed" if is_changed else commit, int(when)


def stage(frozen: Path, tree: Path, release: dict[str, Any]) -> None:
    """Put a slot's content together, by hard links."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    shutil.copytree(frozen, tree / "fengsui-edge", symlinks=True, copy_function=os.link)
    (tree / "release.json").write_text(json.dumps(release, indent=2) + "\n")


def start(tree: Path) -> None:
    """Have the agent start without this environment. Raises CalledProcessError: what does not start is no release."""
    subprocess.run([tree / PROGRAM, "--version"], env={}, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - ours


def pack(tree: Path, file: Path, when_s: int) -> None:
    """Pack a tree: sorted, owned by root, of one time."""

    def level(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = when_s
        entry.mode = 0o755 if entry.isdir() or entry.issym() or entry.mode & 0o100 else 0o644
        return entry

    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        lzma.open(file, "wb", preset=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(tree.rglob("*")):
            archive.add(path, path.relative_to(tree).as_posix(), recursive=False, filter=level)


def build(root: Path, work: Path, out: Path, version: str, commit: str, when_s: int) -> Path:
    """Build and describe a bundle. Returns the packed file."""
    frozen = freeze(root, work, when_s)
    machine = platform.machine()
    what = {"kind": KIND, "version": version, "hardware": [machine]}
    built = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when_s))
    stage(frozen, work / "tree", what | {"commit": commit, "built": built})
    start(work / "tree")
    file = out / f"fengsui-edge-{version}-{machine}.tar.xz"
    pack(work / "tree", file, when_s)
    octets = file.read_bytes()
    sums = {"sha256": hashlib.sha256(octets).hexdigest(), "tree_sha256": tree_digest(work / "tree")}
    sidecar = file.with_name(file.name.removesuffix(".tar.xz") + ".json")
    sidecar.write_text(json.dumps(what | {"size": len(octets)} | sums, indent=2) + "\n")
    return file


def read_version(root: Path) -> str:
    """Read the project's version."""
    return str(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def ask(command: str, root: Path, text: str | None) -> tuple[str, str, int]:
    """Read the command line of a build: version, commit and its time."""
    parser = argparse.ArgumentParser(prog=command, description=text, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--version", default=os.environ.get("VERSION") or read_version(root), help="else the project's")
    parser.add_argument("--commit", nargs=2, metavar=("HASH", "SECONDS"), help="where there is no git")
    options = parser.parse_args()
    commit, when_s = options.commit or read_commit(root)
    return options.version, commit, int(when_s)


def main() -> int:
    """Build the bundle of this checkout."""
    root = Path(__file__).resolve().parents[2]
    print(build(root, root / "build/bundle", root / "dist", *ask("make bundle", root, __doc__)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
