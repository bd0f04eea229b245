"""Images as swupdate takes them: a cpio archive whose description is signed (CMS), with one harmless file in it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

DESCRIPTION = """\
software =
{{
    version = "{version}";
    hardware-compatibility: [ "1.0" ];
    files: ( {{ filename = "payload"; path = "{target}"; sha256 = "{digest}"; type = "rawfile"; }} );
}}
"""


class Signer:
    """A key and its certificate, as an engineer keeps them offline."""

    def __init__(self, folder: Path) -> None:
        self.key, self.certificate = folder / "swu.key", folder / "swu.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=images"]
        command += ["-addext", "extendedKeyUsage=emailProtection", "-addext", "keyUsage=digitalSignature"]
        command += ["-keyout", str(self.key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True)

    def make(self, folder: Path, version: str, payload: bytes, target: Path) -> Path:
        """Make a signed image that puts a file somewhere."""
        folder.mkdir()
        (folder / "payload").write_bytes(payload)
        digest = hashlib.sha256(payload).hexdigest()
        (folder / "sw-description").write_text(DESCRIPTION.format(version=version, target=target, digest=digest))
        command = ["openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-outform", "DER"]
        command += ["-signer", str(self.certificate), "-inkey", str(self.key), "-nosmimecap", "-binary"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        image = folder / f"disk-{version}.swu"
        names = b"sw-description\nsw-description.sig\npayload\n"
        made = subprocess.run(["cpio", "-o", "-H", "crc"], cwd=folder, input=names, check=True, capture_output=True)
        image.write_bytes(made.stdout)
        return image
