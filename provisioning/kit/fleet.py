"""The laptop at the fleet's API: makes kits, brings books back. Blocks."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from provisioning.client import DoorError, exchange, fetch_ca
from provisioning.errors import RequestError
from provisioning.kit.book import Book, Line
from provisioning.kit.documents import Slot
from provisioning.kit.signed import Signed

ANSWER_MOST = 64 * 1024 * 1024
"""Octets: a kit carries all templates."""
BATCH = 50
"""Lines that are sent at once: what a bad link lets through."""


class Fleet:
    """A fleet as an account of it sees it by a token. Raises DoorError, RequestError."""

    def __init__(self, url: str, token: str, ca_sha256: str = "", ca: bytes = b"") -> None:
        self._url = url
        self._token = token
        self._context = _trust(url, ca or (fetch_ca(url, ca_sha256) if ca_sha256 else b""))

    def make_kit(self, asked: dict[str, Any]) -> tuple[Signed, Signed]:
        """Ask for a kit. Returns grant and content."""
        answer = self._post("/api/kits", asked)
        return self._convert(answer.get("grant"), Signed), self._convert(answer.get("content"), Signed)

    def send(self, kit: str, lines: Sequence[Line]) -> list[str]:
        """Send lines of a book. Returns the ids that the fleet has."""
        names = ("id", "kind", "gateway", "at_ns", "by", "detail")
        entries = [{name: getattr(line, name) for name in names} for line in lines]
        answer = self._post(f"/api/kits/{kit}/entries", {"entries": entries})
        taken: list[str] = self._convert(answer.get("taken"), list[str])
        return taken

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        octets = msgspec.json.encode(body)
        status, octets = exchange(self._url, "POST", path, octets, self._context, headers, ANSWER_MOST)
        if status >= 500:
            raise DoorError(f"{self._url} cannot answer now: status {status}", hint="try again later")
        try:
            answer = msgspec.json.decode(octets, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DoorError(f"{self._url} answers as no fleet does: {error}", hint="is this its address?") from error
        if status != 200:
            detail = answer.get("detail")
            more = f": {msgspec.json.encode(detail).decode()[:300]}" if detail else ""
            said, hint = answer.get("error", status), str(answer.get("hint", ""))
            raise RequestError(f"status-{status}", f"{said}{more}", hint=hint)
        return answer

    def _convert(self, value: Any, kind: Any) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise DoorError(f"{self._url} answers as no fleet does: {error}", hint="is this its address?") from error


def _trust(url: str, ca: bytes) -> ssl.SSLContext | None:
    if url.startswith("http:"):
        return None
    return ssl.create_default_context(cadata=ca.decode() if ca else None)


def make_slots(codes: Sequence[str], rows: Sequence[dict[str, str]], hash_code: Callable[[str], str]) -> list[Slot]:
    """Pair codes with the gateways that they are for; what is left over is for gateways named on site."""
    padded = [*rows, *({} for _ in range(len(codes) - len(rows)))]
    return [Slot(claim_sha256=hash_code(code), **row) for code, row in zip(codes, padded, strict=True)]


def sync(book: Book, fleet: Fleet, kit: str, now_ns: Callable[[], int], tell: Callable[[int, int], None]) -> int:
    """Bring all lines to the fleet that it has not, batch by batch; what it took is noted at once.

    Returns how many. Raises DoorError where the link ends: the next time goes on from there.
    """
    waiting = book.waiting(kit)
    done = 0
    for begin in range(0, len(waiting), BATCH):
        batch = waiting[begin : begin + BATCH]
        taken = set(fleet.send(kit, batch)) & {line.id for line in batch}
        book.mark(sorted(taken), now_ns())
        done += len(taken)
        tell(done, len(waiting))
    return done
