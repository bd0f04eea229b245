"""The roots, on a machine without a network: made once, used when an intermediate is to be signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fleet.authority.store import TITLE, read_chain
from fleet.errors import ConflictError, SetupError
from provisioning import authority
from provisioning.authority import Issuer, Purpose
from provisioning.errors import ProvisioningError
from provisioning.keys import PUBLIC, dump_key, make_key, parse_key, read_file, write_file
from provisioning.requests import read_request


def make_roots(folder: Path, passphrase: bytes, now: datetime) -> list[Path]:
    """Make both roots: ``<purpose>-root.key``, encrypted, and ``.crt``. Returns the keys. Raises ConflictError."""
    made = []
    for purpose in Purpose:
        key_file = folder / f"{purpose}-root.key"
        if key_file.exists():
            raise ConflictError(f"{key_file} is there already", hint="gateways may rely on it: name another folder")
    for purpose in Purpose:
        root = authority.make_root(purpose, make_key(), TITLE, now)
        key_file = folder / f"{purpose}-root.key"
        _write(key_file, dump_key(root.key, passphrase))
        _write(key_file.with_suffix(".crt"), authority.to_pem(root.chain), PUBLIC)
        made.append(key_file)
    return made


def _write(path: Path, octets: bytes, mode: int = 0o600) -> None:
    try:
        write_file(path, octets, mode)
    except ProvisioningError as error:
        raise SetupError(str(error), hint=error.hint) from error


def sign_requests(folder: Path, passphrase: bytes, requests: Sequence[Path], now: datetime) -> list[Path]:
    """Sign the requests of intermediates, named ``<purpose>.csr``. Returns their chains, ``<purpose>.crt`` beside them.

    Raises SetupError.
    """
    return [_sign(folder, passphrase, request, now) for request in requests]


def _sign(folder: Path, passphrase: bytes, request: Path, now: datetime) -> Path:
    try:
        purpose = Purpose(request.stem)
    except ValueError as error:
        names = " or ".join(f"{purpose}.csr" for purpose in Purpose)
        raise SetupError(f"{request}: which authority is this for?", hint=f"name the file {names}") from error
    key_file = folder / f"{purpose}-root.key"
    try:
        root = Issuer(parse_key(read_file(key_file), passphrase), tuple(read_chain([key_file.with_suffix(".crt")])))
        key = read_request(read_file(request))
        certificate = authority.issue_intermediate(root, purpose, key, TITLE, now)
        target = request.with_suffix(".crt")
        write_file(target, authority.to_pem([certificate, *root.chain]), PUBLIC)
    except (ProvisioningError, ValueError) as error:
        raise SetupError(f"{request} cannot be signed: {error}", hint=getattr(error, "hint", "")) from error
    return target
