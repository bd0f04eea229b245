"""The fleet's key for commands: one file in the data directory, which only its owner can read. Backups hold it."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.errors import SetupError
from provisioning.signing import make_private_key, read_private_key, write_public_key

FILE = "command.key"
PUBLIC_FILE = "fleet-command.pub"
"""What gateways keep of it, beside their token."""


def found_key(data_dir: Path) -> None:
    """Make the key, unless there is one: gateways have its public half pinned."""
    path = data_dir / FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(make_private_key())
        file.flush()
        os.fsync(file.fileno())


def load_key(data_dir: Path) -> Ed25519PrivateKey:
    """Read the key. Raises SetupError."""
    path = data_dir / FILE
    try:
        return read_private_key(path.read_bytes())
    except FileNotFoundError as error:
        raise SetupError(f"there is no {path}", hint=f"run: fengsui-fleet init --data {data_dir}") from error
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be used: {error}", hint="restore it from a backup") from error


def write_public(data_dir: Path, path: Path) -> None:
    """Write the public half for a gateway to keep; a file that holds it already is left as it is."""
    text = write_public_key(load_key(data_dir))
    try:
        if path.exists() and path.read_bytes() == text:
            return
        with path.open("xb") as file:
            file.write(text)
    except FileExistsError as error:
        raise SetupError(f"{path} is another key", hint="move it away, or name another folder") from error
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error
