"""Keys of identities: P-256, as PKCS #8 in PEM, in files that only their owner reads and no power cut halves."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from provisioning.errors import KeyFileError

PRIVATE = 0o600
PUBLIC = 0o644


def make_key() -> EllipticCurvePrivateKey:
    """Make a P-256 key."""
    return generate_private_key(SECP256R1())


def dump_key(key: EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    """Write a key as PEM, encrypted unless ``passphrase`` is empty."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def parse_key(text: bytes, passphrase: bytes = b"") -> EllipticCurvePrivateKey:
    """Read a key from PEM. Raises ValueError for another kind of key, a wrong passphrase, or anything else."""
    try:
        key = load_pem_private_key(text, passphrase or None)
    except TypeError as error:
        raise ValueError("it is encrypted" if not passphrase else "it is not encrypted") from error
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if isinstance(key, EllipticCurvePrivateKey):
        return key
    raise ValueError("it is not an elliptic-curve key")


def fingerprint(key: EllipticCurvePublicKey) -> str:
    """Name a key by the SHA-256 of its SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), in hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def read_file(path: Path, hint: str = "") -> bytes:
    """Read a file. Raises KeyFileError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def write_file(path: Path, octets: bytes, mode: int = PRIVATE) -> None:
    """Replace a file whole; it is on the disk when this returns. Raises KeyFileError, and the old one stays.

    Who else writes into the folder meanwhile waits: all drafts of a file have one name, so that none is left behind.
    Links are not followed: on a stick somebody else may have laid one that leads elsewhere.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locking(path.parent) as folder:
            try:
                _write_draft(draft, octets, mode)
                os.replace(draft, path)
                os.fsync(folder)
            except OSError:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}", hint="is the disk full?") from error


def _write_draft(draft: Path, octets: bytes, mode: int) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(octets)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def _locking(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
