"""Secrets under a passphrase: scrypt (RFC 7914) makes the key, ChaCha20-Poly1305 (RFC 8439) closes the box."""

from __future__ import annotations

import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from provisioning.errors import RequestError

N, R, P = 2**15, 8, 1
"""32 MiB and a fraction of a second for each guess."""
N_MOST, R_MOST, P_MOST = 2**18, 16, 4
SALT_OCTETS, NONCE_OCTETS, KEY_OCTETS = 16, 12, 32
PASSPHRASE_LEAST = 10


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What is closed, and what the key is made with beside the passphrase."""

    salt: bytes
    nonce: bytes
    box: bytes
    n: int = N
    r: int = R
    p: int = P


def seal(secret: bytes, passphrase: str, bound_to: bytes) -> Sealed:
    """Close octets; they open only together with ``bound_to``. Raises RequestError for a short passphrase."""
    if len(passphrase) < PASSPHRASE_LEAST:
        raise RequestError(
            "passphrase", f"a passphrase of {len(passphrase)} letters", hint=f"at least {PASSPHRASE_LEAST}: four words"
        )
    salt, nonce = secrets.token_bytes(SALT_OCTETS), secrets.token_bytes(NONCE_OCTETS)
    box = ChaCha20Poly1305(_derive(passphrase, salt, N, R, P)).encrypt(nonce, secret, bound_to)
    return Sealed(salt=salt, nonce=nonce, box=box)


def unseal(sealed: Sealed, passphrase: str, bound_to: bytes) -> bytes:
    """Open what `seal` closed. Raises RequestError: a wrong passphrase and a changed box look alike."""
    is_power = sealed.n > 1 and sealed.n & (sealed.n - 1) == 0
    if not is_power or not (sealed.n <= N_MOST and 0 < sealed.r <= R_MOST and 0 < sealed.p <= P_MOST):
        raise RequestError("passphrase", "the kit asks for a key that takes for ever to make", hint="make it anew")
    try:
        key = _derive(passphrase, sealed.salt, sealed.n, sealed.r, sealed.p)
        return ChaCha20Poly1305(key).decrypt(sealed.nonce, sealed.box, bound_to)
    except (InvalidTag, ValueError) as error:
        raise RequestError(
            "passphrase", "the passphrase does not open this kit, or it was changed", hint="type it again"
        ) from error


def _derive(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=KEY_OCTETS, n=n, r=r, p=p).derive(passphrase.encode())
