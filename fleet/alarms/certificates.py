"""Certificates that are near their end. `judge` is pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509

NS = 1_000_000_000
NEAR_NS = 14 * 86_400 * NS
"""How long before its end a certificate is near it."""


class Certificate(msgspec.Struct, frozen=True):
    """What is certified, and until when: UTC in ns, None where ``error`` says why nobody knows."""

    subject: str
    not_after_ns: int | None
    error: str = ""


def read(folder: Path, files: Iterable[str]) -> list[Certificate]:
    """Read files of certificates (PEM), each called as it is named; of a chain, the one that ends first counts."""
    return [_read_one(folder / file, file) for file in files]


def _read_one(path: Path, subject: str) -> Certificate:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        return Certificate(subject, None, str(error))
    return Certificate(subject, min(int(each.not_valid_after_utc.timestamp()) for each in chain) * NS)


def judge(certificates: Iterable[Certificate], now_ns: int) -> dict[str, str]:
    """{subject: what is amiss, for people} of those that are near their end, past it, or cannot be read."""
    found = {}
    for each in certificates:
        if each.not_after_ns is None:
            found[each.subject] = each.error
        elif each.not_after_ns - now_ns < NEAR_NS:
            found[each.subject] = _write_day(each.not_after_ns)
    return found


def _write_day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
