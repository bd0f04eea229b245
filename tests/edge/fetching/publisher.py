"""A fleet's releases served over HTTP, by us or by somebody hostile."""

from __future__ import annotations

import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from fleet.releases.repository import Repository, sign
from images.launcher.launch import tree_digest

HARDWARE = "x86_64"
NOW = datetime.now(UTC).replace(microsecond=0)
KEYS = [CryptoSigner(Ed25519PrivateKey.generate()) for _ in range(6)]
"""Three for root, three for targets."""
ROOT_KEYS, TARGET_KEYS = KEYS[:3], KEYS[3:]


def make_bundle(
    folder: Path, version: str, content: bytes = b"program", extra: Callable[[tarfile.TarFile], None] | None = None
) -> tuple[Path, dict]:
    """Pack a bundle as `make bundle` does. Returns it, and what is signed of it."""
    tree = folder / f"tree-{version}"
    (tree / "fengsui-edge").mkdir(parents=True)
    (tree / "fengsui-edge" / "fengsui-edge").write_bytes(content)
    (tree / "fengsui-edge" / "fengsui-edge").chmod(0o755)
    (tree / "release.json").write_text(json.dumps({"kind": "agent", "version": version, "hardware": [HARDWARE]}))
    archive = folder / f"fengsui-edge-{version}-{HARDWARE}.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for path in sorted(tree.rglob("*")):
            tar.add(path, path.relative_to(tree).as_posix(), recursive=False)
        if extra is not None:
            extra(tar)
    custom = {
        "kind": "agent",
        "version": version,
        "hardware": [HARDWARE],
        "tree_sha256": tree_digest(tree),
        "unpacked": sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) + 4096,
        "may_replace_newer": False,
    }
    return archive, custom


class Publisher:
    """A repository with its files, and the server in front of it. ``spoil`` may change what is answered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.repository = Repository(folder)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.spoil: Callable[[str, bytes], bytes | None] = lambda _path, octets: octets
        self.slow_s = 0.0
        self.endless = False
        self.cut = 0
        self.repository.found([key.public_key for key in ROOT_KEYS], [key.public_key for key in TARGET_KEYS], 2, NOW)
        self.sign_and_publish()

    def sign_and_publish(self, *signers: CryptoSigner, at: datetime = NOW) -> None:
        for signer in signers or (*ROOT_KEYS[:2], *TARGET_KEYS[:2]):
            sign(self.repository.staged, signer)
        self.repository.publish(at)

    @property
    def root(self) -> bytes:
        return (self.repository.published / "1.root.json").read_bytes()

    def release(self, version: str, *, at: datetime = NOW, publish: bool = True, signed: dict | None = None) -> dict:
        """Release a version, with other words signed of it."""
        archive, custom = make_bundle(self.folder, version)
        custom |= signed or {}
        path = f"agent/{archive.name}"
        self.repository.add_target("agent", path, archive, custom, at)
        if publish:
            self.sign_and_publish(*TARGET_KEYS[:2], at=at)
        self.keep(archive)
        return custom

    def keep(self, archive: Path, octets: bytes | None = None) -> None:
        """Serve a file under the hash that it has now, or other octets in its place."""
        import hashlib

        real = archive.read_bytes()
        self.files[f"targets/agent/{hashlib.sha256(real).hexdigest()}.{archive.name}"] = octets or real

    def find(self, path: str) -> bytes | None:
        if path in self.files:
            return self.spoil(path, self.files[path])
        file = self.repository.published / path.removeprefix("metadata/")
        if path.startswith("metadata/") and re.fullmatch(r"[\w.]+", file.name) and file.exists():
            return self.spoil(path, file.read_bytes())
        return None

    @contextmanager
    def serving(self) -> Iterator[str]:
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        self.asked.append(f"{path} {handler.headers.get('Range', '')}".strip())
        octets = self.find(path)
        if octets is None:
            handler.send_error(404)
            return
        begin = int((handler.headers.get("Range") or "bytes=0-").partition("=")[2].rstrip("-"))
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Length", str(len(octets) - begin + (10**9 if self.endless else 0)))
        handler.end_headers()
        rest = octets[begin:]
        if self.cut:
            rest = rest[: self.cut]
        try:
            size = 1 if self.slow_s else 65536
            for begin in range(0, len(rest), size):
                handler.wfile.write(rest[begin : begin + size])
                handler.wfile.flush()
                time.sleep(self.slow_s)
            while self.endless and path.startswith("targets/"):
                handler.wfile.write(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
