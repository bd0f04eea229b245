"""Keys that sign releases: Ed25519 in PEM.

Those of root and targets are made and kept offline, under a passphrase. Those of snapshot and timestamp lie in the data
directory: whoever steals the server can keep releases back, and no more.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from fleet.errors import InvalidError, SetupError

PASSPHRASE_LEAST = 10


def make(path: Path, passphrase: str) -> Path:
    """Make a key: ``path`` is private, ``path.pub`` public. Returns the latter. Raises SetupError, InvalidError."""
    if len(passphrase) < PASSPHRASE_LEAST:
        raise InvalidError(
            f"a passphrase of {len(passphrase)} letters", hint=f"use at least {PASSPHRASE_LEAST}: four words"
        )
    key = Ed25519PrivateKey.generate()
    _write(path, key, BestAvailableEncryption(passphrase.encode()))
    public = path.with_name(f"{path.name}.pub")
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def make_online(path: Path) -> CryptoSigner:
    """Make or read a key that the server itself signs with. Raises SetupError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, Ed25519PrivateKey.generate(), NoEncryption())
    return read_private(path, "")


def _write(path: Path, key: Ed25519PrivateKey, encryption: KeySerializationEncryption) -> None:
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise SetupError(f"{path} is there already", hint="a key is made once: name another file") from error
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}", hint="name another folder") from error


def read_private(path: Path, passphrase: str) -> CryptoSigner:
    """Read a key to sign with. Raises SetupError."""
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SetupError(f"key {path} cannot be used: {error}", hint="is the passphrase right?") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{path} is another kind of key", hint="make one: fengsui-fleet release keys make")
    return CryptoSigner(key)


def read_public(path: Path) -> SSlibKey:
    """Read a public key. Raises SetupError."""
    try:
        return SSlibKey.from_crypto(load_pem_public_key(path.read_bytes()))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SetupError(f"public key {path} cannot be used: {error}", hint="name the .pub beside the key") from error
