"""Releases for gateways of the district: this very source under other version numbers, sound ones and bad ones.

They are signed by keys that the fleet never sees.

A real bundle takes half a minute to freeze. Here the program in a slot is a script that starts this source with its own
``fengsui.dist-info`` in front, so that it is another release in everything that the agent, the launcher and the fleet
know of it. It writes no bytecode: a slot must stay the tree that was signed, as a frozen one does.
"""

from __future__ import annotations

import json
import platform
import shutil
import stat
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from fleet.bootstrap import Services, bootstrap
from fleet.releases import service
from fleet.releases.repository import sign, utc_now
from fleet.settings import load
from images.launcher.launch import tree_digest

PROGRAM = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec env PYTHONPATH="$here/site" {python} -B -m edge.cli "$@"
"""
METADATA = "Metadata-Version: 2.1\nName: fengsui\nVersion: {version}\n"
SOUND = ""
FLAWS: Mapping[str, str] = {
    "crashes": "import sys; sys.exit('this release crashes at its start')",
    "deaf": """\
import drivers.transport.serial_port as serial_port
import drivers.transport.tcp as tcp
from drivers.errors import LinkError
async def refuse(_):
    raise LinkError('this release opens no line')
serial_port.Serial.open = tcp.Tcp.open = refuse
""",
    "hangs": "import time; time.sleep(3600)",
    "leaks": """\
import resource, threading, time
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
kept = []
def leak():
    while True:
        kept.append(bytearray(50_000_000))
        time.sleep(0.05)
def end(_):
    import os
    os.kill(os.getpid(), 9)
threading.excepthook = end
threading.Thread(target=leak, daemon=True).start()
""",
    "unconnected": """\
import edge.uplink
def refuse(*_):
    raise OSError('this release cannot connect')
edge.uplink.Uplink._client = refuse
""",
}
"""What is wrong with a bad release: Python that runs before it."""


class ReleaseEngineer:
    """Makes, signs and publishes releases for one fleet."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._data = data
        self._folder = folder
        self._keys = [CryptoSigner(Ed25519PrivateKey.generate()) for _ in range(4)]

    def found(self) -> None:
        """Make the first root, two keys of two for everything."""
        self._folder.mkdir(parents=True, exist_ok=True)
        services = self._services()
        try:
            repository = service.find_repository(services)
            public = [key.public_key for key in self._keys]
            repository.found(public[:2], public[2:], 2, utc_now(time.time_ns()))
            self._sign(services)
        finally:
            services.close()

    def root(self) -> bytes:
        """Return the first root, which gateways are installed with."""
        return (self._data / "releases" / "metadata" / "1.root.json").read_bytes()

    def release(self, version: str, flaw: str = SOUND) -> Path:
        """Publish a version; ``flaw`` is one of `FLAWS`. Returns its archive."""
        tree = self._folder / f"tree-{version}"
        make_tree(tree, version, flaw)
        archive = self._folder / f"fengsui-edge-{version}-{platform.machine()}.tar.xz"
        with tarfile.open(archive, "w:xz") as tar:
            for path in sorted(tree.rglob("*")):
                tar.add(path, path.relative_to(tree).as_posix(), recursive=False)
        side = service.find_sidecar(archive)
        side.write_text(json.dumps({"tree_sha256": tree_digest(tree)}), "utf-8")
        self.publish(archive, f"flaw: {flaw or 'none'}")
        return archive

    def publish(self, archive: Path, notes: str) -> None:
        """Add a bundle, sign and publish it."""
        services = self._services()
        try:
            made = service.read_bundle(archive)
            with services.database.writing() as session:
                service.add(services, session, archive, "release engineer", made, notes, older=False)
            self._sign(services)
        finally:
            services.close()

    def _services(self) -> Services:
        return bootstrap(load(self._data))

    def _sign(self, services: Services) -> None:
        repository = service.find_repository(services)
        for key in self._keys:
            sign(repository.staged, key)
        with services.database.writing() as session:
            service.publish(services, session)


def install(slots: Path, version: str) -> None:
    """Lay a release into slot a, as the package does where there is none yet."""
    make_tree(slots / "a", version)


def make_tree(tree: Path, version: str, flaw: str = SOUND) -> None:
    """Make the tree of a release in an empty folder."""
    shutil.rmtree(tree, ignore_errors=True)
    site = tree / "fengsui-edge" / "site"
    info = site / f"fengsui-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.format(version=version), "utf-8")
    if flaw:
        (site / "sitecustomize.py").write_text(FLAWS[flaw], "utf-8")
    program = tree / "fengsui-edge" / "fengsui-edge"
    program.write_text(PROGRAM.format(python=sys.executable), "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    said = {"kind": "agent", "version": version, "hardware": [platform.machine()]}
    (tree / "release.json").write_text(json.dumps(said), "utf-8")
