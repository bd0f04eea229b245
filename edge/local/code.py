"""The site code at rest: a file that only its owner reads, with the code's scrypt hash (RFC 7914).

``scrypt$<n>$<r>$<p>$<salt>$<hash>``, salt and hash in hex.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import msgspec

from edge.errors import EdgeError

CODE_LEAST = 8
CODE_MOST = 128
N, R, P = 2**14, 8, 1
"""16 MiB and a fraction of a second on a gateway for each try."""
N_MOST, R_MOST, P_MOST = 2**17, 16, 4
MAKE_ANEW = "make one with: fengsui-edge local-code FILE"


class SiteCode(msgspec.Struct, frozen=True):
    """What is kept of a code."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def fits(self, code: str) -> bool:
        """Tell whether this is the code, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(_derive(code, self.salt, self.n, self.r, self.p), self.digest)


def hash_code(code: str) -> SiteCode:
    """Hash a code with a salt of its own. Raises EdgeError if it is too short or too long."""
    if not CODE_LEAST <= len(code) <= CODE_MOST:
        raise EdgeError(
            f"a site code of {len(code)} characters is not taken",
            hint=f"choose {CODE_LEAST} to {CODE_MOST} characters; ten digits are easily typed with gloves",
        )
    salt = secrets.token_bytes(16)
    return SiteCode(N, R, P, salt, _derive(code, salt, N, R, P))


def _derive(code: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(code.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r)


def write_code(path: Path, code: SiteCode) -> None:
    """Replace the file, readable by its owner only. Raises EdgeError, and the old file stays."""
    text = f"scrypt${code.n}${code.r}${code.p}${code.salt.hex()}${code.digest.hex()}\n"
    draft = path.with_name(path.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise EdgeError(
            f"code file {path} cannot be written: {error.strerror}", hint="name a file in a folder that you may write"
        ) from error


def read_code(path: Path) -> SiteCode:
    """Read the file. Raises EdgeError if it is not there, holds no code, or others may read it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise EdgeError(f"[local] code_file {path} cannot be read: {reason}", hint=MAKE_ANEW) from error
    if mode & 0o077:
        raise EdgeError(f"[local] code_file {path} can be read by others", hint=f"chmod 600 {path}")
    code = _parse(text)
    if code is None:
        raise EdgeError(f"[local] code_file {path} holds no site code", hint=MAKE_ANEW)
    return code


def _parse(text: str) -> SiteCode | None:
    try:
        kind, n, r, p, salt, digest = text.strip().split("$")
        code = SiteCode(int(n), int(r), int(p), bytes.fromhex(salt), bytes.fromhex(digest))
    except ValueError:
        return None
    is_power = code.n > 1 and code.n & (code.n - 1) == 0
    is_sound = is_power and code.n <= N_MOST and 0 < code.r <= R_MOST and 0 < code.p <= P_MOST
    return code if kind == "scrypt" and is_sound and len(code.digest) == 64 and code.salt else None
