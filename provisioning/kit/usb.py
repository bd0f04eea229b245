"""The stick: what lies on it for a gateway, and what the gateway leaves there. Files of JSON and TOML."""

from __future__ import annotations

from pathlib import Path

import msgspec

from provisioning.errors import RequestError
from provisioning.keys import PUBLIC, read_file, write_file
from provisioning.kit.documents import Bundle, decode

BUNDLE_MOST_OCTETS = 4 * 1024 * 1024
SUFFIX, ANSWER_SUFFIX = ".fsb", ".answer.json"
ENROL = "enrol.toml"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway writes beside a bundle: what came of it, its key's fingerprint and request.

    ``result`` is ``taken``, ``known`` if it had been taken before, or the word of a refusal.
    """

    gateway: str
    result: str
    said: str = ""
    hint: str = ""
    key: str = ""
    csr: str = ""
    order: str = ""
    at_ns: int = 0
    release: str = ""


def write_bundle(folder: Path, gateway: str, bundle: Bundle, url: str, ca_sha256: str) -> Path:
    """Write a bundle, and the trust anchor for a gateway that has none yet. Raises KeyFileError."""
    path = folder / f"{gateway}{SUFFIX}"
    write_file(path, msgspec.json.encode(bundle))
    write_file(folder / ENROL, f'url = "{url}"\nca_sha256 = "{ca_sha256}"\n'.encode(), PUBLIC)
    return path


def is_file(path: Path) -> bool:
    """Tell whether it is a plain file: a link or a device on a stick leads elsewhere, or has no end."""
    return path.is_file() and not path.is_symlink()


def find_bundles(folder: Path) -> list[Path]:
    """Return the bundles on a stick. Raises RequestError if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and is_file(path))
    except OSError as error:
        raise RequestError("unreadable", f"{folder} cannot be read: {error.strerror}", hint="is it mounted?") from error


def read_bundle_file(path: Path) -> Bundle:
    """Read a bundle's file without checking it. Raises RequestError, KeyFileError."""
    try:
        if path.stat().st_size > BUNDLE_MOST_OCTETS:
            raise RequestError("unreadable", f"{path} is too large for a bundle", hint="copy it again")
    except OSError as error:
        raise RequestError("unreadable", f"{path} cannot be read: {error.strerror}", hint="copy it again") from error
    return decode(read_file(path), Bundle)


def write_answer(bundle: Path, answer: Answer) -> None:
    """Write what came of a bundle beside it. Raises KeyFileError."""
    write_file(bundle.with_suffix(ANSWER_SUFFIX), msgspec.json.format(msgspec.json.encode(answer)), PUBLIC)


def read_answers(folder: Path) -> list[Answer]:
    """Return what gateways left on a stick. Raises RequestError, KeyFileError."""
    return [decode(read_file(path), Answer) for path in sorted(folder.glob(f"*{ANSWER_SUFFIX}")) if is_file(path)]
