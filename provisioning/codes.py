"""Claim codes: what a person scans or types so that a gateway gets in, once.

130 random bits in Crockford's base 32 (no I, L, O, U) and two letters that tell a slip of the pen from a code that
nobody knows, in groups: ``7K3Q-9WZT-...``. The fleet keeps a code's SHA-256 only.
"""

from __future__ import annotations

import hashlib
import secrets

from provisioning.errors import RequestError
from provisioning.tokens import hash_token

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SECRET_LETTERS = 26
CHECK_LETTERS = 2
GROUP = 4
TYPED_MOST = 100
"""Letters of what somebody typed, before anything is made of it."""
ALIKE = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None, "\t": None})


def make_code() -> str:
    """Make a code, in groups of four."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LETTERS))
    letters += _check(letters)
    return write_code(letters)


def write_code(letters: str) -> str:
    """Write the letters of a code as people read it: in groups of four."""
    return "-".join(letters[begin : begin + GROUP] for begin in range(0, len(letters), GROUP))


def read_code(text: str) -> str:
    """Return the letters of a code as it was scanned or typed. Raises RequestError ``claim-mistyped``."""
    letters = text[:TYPED_MOST].upper().translate(ALIKE)
    wanted = SECRET_LETTERS + CHECK_LETTERS
    if len(letters) != wanted or set(letters) - set(ALPHABET) or _check(letters[:SECRET_LETTERS]) != letters[-2:]:
        raise RequestError(
            "claim-mistyped", "this is not a claim code", hint=f"{wanted} letters in groups of {GROUP}: compare them"
        )
    return letters


def hash_code(text: str) -> str:
    """Return what is stored of a code: the SHA-256 of its letters, in hexadecimal. Raises RequestError."""
    return hash_token(read_code(text))


def _check(letters: str) -> str:
    number = int.from_bytes(hashlib.sha256(letters.encode()).digest()[:2], "big")
    return ALPHABET[number % 32] + ALPHABET[number // 32 % 32]
