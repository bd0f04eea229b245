"""The authority in the data directory: ``ca/gateways.key`` and ``.crt``, ``ca/services.key`` and ``.crt``.

Keys are encrypted; their passphrase is in the file that `ca_passphrase_file` names, which may lie on another medium. A
``.crt`` holds the chain from the intermediate up to the root.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from fleet.errors import ConflictError, SetupError
from fleet.settings import Settings
from provisioning import authority
from provisioning.authority import Issuer, Purpose
from provisioning.errors import AuthorityError, KeyFileError, ProvisioningError
from provisioning.keys import PUBLIC, dump_key, make_key, parse_key, read_file, write_file
from provisioning.requests import make_request

FOLDER = "ca"
PASSPHRASE_OCTETS = 32
TITLE = "Fengsui"


@dataclass(frozen=True)
class Authority:
    """What issues: one intermediate for gateways, one for the fleet's own servers and programs."""

    gateways: Issuer
    services: Issuer

    def of(self, purpose: Purpose) -> Issuer:
        """Return the issuer for a purpose."""
        return self.gateways if purpose is Purpose.GATEWAYS else self.services


def to_datetime(now_ns: int) -> datetime:
    """Turn UTC in ns since 1970 into what certificates are written with."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)


def load(settings: Settings, now_ns: int) -> Authority:
    """Read the authority. Raises SetupError if it was not made, or cannot be used."""
    return Authority(
        gateways=_load(settings, Purpose.GATEWAYS, now_ns), services=_load(settings, Purpose.SERVICES, now_ns)
    )


def _load(settings: Settings, purpose: Purpose, now_ns: int) -> Issuer:
    key, chain = (find(settings, purpose, end) for end in ("key", "crt"))
    if not chain.exists():
        raise SetupError(
            f"there is no authority for {purpose} in {settings.data_dir}", hint="run: fengsui-fleet ca init"
        )
    try:
        read = parse_key(read_file(key), read_passphrase(settings))
        issuer = authority.check_chain(read, read_chain([chain]), to_datetime(now_ns))
        return authority.check_purpose(issuer, purpose)
    except (ProvisioningError, ValueError) as error:
        hint = getattr(error, "hint", "") or "restore it from a backup"
        raise SetupError(f"the authority for {purpose} cannot be used: {error}", hint=hint) from error


def find(settings: Settings, purpose: Purpose, end: str) -> Path:
    """Return where a file of an intermediate is: ``key``, ``crt``, ``csr`` or ``crl``."""
    return settings.data_dir / FOLDER / f"{purpose}.{end}"


def read_passphrase(settings: Settings) -> bytes:
    """Read the passphrase of the intermediates' keys. Raises KeyFileError."""
    path = settings.data_dir / settings.ca_passphrase_file
    return read_file(path, hint="see ca_passphrase_file in fleet.toml").strip()


def make_requests(settings: Settings) -> list[Path]:
    """Make keys for both intermediates and return their requests, to be signed by the roots. Keys that are there stay.

    Raises SetupError, ConflictError if both are in use already.
    """
    try:
        passphrase = _found_passphrase(settings)
        return [_make_request(settings, purpose, passphrase) for purpose in Purpose]
    except (KeyFileError, ValueError) as error:
        raise SetupError(f"the authority's keys cannot be made: {error}", hint="who owns the folder?") from error


def _make_request(settings: Settings, purpose: Purpose, passphrase: bytes) -> Path:
    path, request = (find(settings, purpose, end) for end in ("key", "csr"))
    if path.exists():
        key = parse_key(read_file(path), passphrase)
    else:
        key = make_key()
        write_file(path, dump_key(key, passphrase))
    write_file(request, make_request(key, f"{TITLE} {purpose}"), PUBLIC)
    return request


def _found_passphrase(settings: Settings) -> bytes:
    path = settings.data_dir / settings.ca_passphrase_file
    if not path.exists():
        write_file(path, secrets.token_urlsafe(PASSPHRASE_OCTETS).encode() + b"\n")
    return read_passphrase(settings)


def take_chain(settings: Settings, purpose: Purpose, files: Sequence[Path], now_ns: int) -> Issuer:
    """Take the certificate of an intermediate that was issued elsewhere, with the chain up to its root.

    Raises SetupError, which says what is wrong with it; then nothing has changed.
    """
    try:
        key = parse_key(
            read_file(find(settings, purpose, "key"), hint="run: fengsui-fleet ca request"), read_passphrase(settings)
        )
        issuer = authority.check_chain(key, read_chain(files), to_datetime(now_ns))
        authority.check_purpose(issuer, purpose)
        write_file(find(settings, purpose, "crt"), authority.to_pem(issuer.chain), PUBLIC)
    except (ProvisioningError, ValueError) as error:
        raise SetupError(
            f"the certificate for {purpose} is not taken: {error}", hint=getattr(error, "hint", "")
        ) from error
    return issuer


def read_chain(files: Sequence[Path]) -> list[x509.Certificate]:
    """Read certificates from PEM files in order. Raises KeyFileError or AuthorityError."""
    found: list[x509.Certificate] = []
    for path in files:
        try:
            found += x509.load_pem_x509_certificates(read_file(path))
        except ValueError as error:
            raise AuthorityError(f"{path} holds no certificate in PEM: {error}", hint="convert it to PEM") from error
    return found


def refuse_if_made(settings: Settings) -> None:
    """Raise ConflictError if there is an authority: gateways hold certificates of it."""
    for purpose in Purpose:
        path = find(settings, purpose, "crt")
        if path.exists():
            raise ConflictError(
                f"there is an authority already: {path}", hint="replace it with: fengsui-fleet ca import"
            )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate, as ``enrol.toml`` names the one to trust."""
    return certificate.fingerprint(SHA256()).hex()
