"""Commands: what the fleet asks a gateway to do once. Signed, so that a broker cannot make one up (docs/adr/0010).

    fleet -> command  {order, signature}    sent again until answered or expired
    edge  -> an audit record in lane A that names the command: the one answer, and the truth of what was done

`Order` is signed as octets and sent as those very octets, so that nobody has to agree on how to write it down again.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wire.conversation import Text, Word
from wire.errors import DecodeError

SIGNED_AS = b"fengsui command 1\0"
"""Stands before the order in what is signed: a signature made for another purpose is none for a command."""
ORDER_OCTETS_MOST = 16_384
LIFETIME_MOST_NS = 7 * 86_400_000_000_000
"""Longest time from issue to expiry: so long a gateway remembers a command."""

CAPTURE_MOST_S = 60
"""Longest time that a line may be recorded for, by ``capture-bus``."""

DONE, FAILED, REFUSED, INTERRUPTED = "command-done", "command-failed", "command-refused", "command-interrupted"
ANSWERS = (DONE, FAILED, REFUSED, INTERRUPTED)
"""Words of the audit events that answer a command: it was carried out; it was tried in vain; it was not tried; or the
agent ended meanwhile, and how far it came is not known."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: ``name`` with ``arguments`` on ``gateway``, between two instants in ns of UTC since 1970.

    ``id`` is unique for ever. ``author`` is who asked for it, for the journal.
    """

    id: Word
    gateway: Word
    name: Word
    arguments: dict[str, Any] = {}
    issued_ns: int
    expires_ns: int
    author: Text = ""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded `Order` and the Ed25519 signature of `SIGNED_AS` followed by it."""

    order: Annotated[bytes, Meta(max_length=ORDER_OCTETS_MOST)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


def encode_order(order: Order) -> bytes:
    """Write an order down, to be signed and sent as it is."""
    return msgspec.msgpack.encode(order)


def decode_order(octets: bytes) -> Order:
    """Read an order. Raises DecodeError. Check the signature first."""
    try:
        return msgspec.msgpack.decode(octets, type=Order)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not an order: {error}") from error
