"""What one message may ask of a receiver is bounded before anything is believed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import zstandard

from wire.codec import decode, encode
from wire.conversation import BATCH_ITEMS_MOST, Batch, Clock, Hello, Span
from wire.errors import DecodeError
from wire.record import Lane


def batch(**changes: Any) -> Batch:
    fields: dict[str, Any] = {
        "session": "s", "round": 1, "epoch": "00000001-ab", "lane": Lane.ALARMS, "first": 1, "items": (b"",),
        "boot": "b", "clock": Clock(),
    }  # fmt: skip
    return Batch(**(fields | changes))


def test_batch_of_300000_empty_items_in_200_octets_is_refused() -> None:
    payload = b"\x01" + zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(batch(items=(b"",) * 300_000)))
    assert len(payload) < 1000
    with pytest.raises(DecodeError, match="items"):
        decode(payload, Batch)


def test_largest_batch_is_taken() -> None:
    full = batch(items=(b"",) * BATCH_ITEMS_MOST)
    assert decode(encode(full), Batch) == full


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": "a\0b"},
        {"epoch": "e" * 12_800},
        {"epoch": "纪元"},
        {"boot": "b" * 65},
        {"session": "a b"},
        {"first": -1},
    ],
    ids=str,
)
def test_identity_that_no_index_should_hold_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode(encode(batch(**changes)), Batch)


def test_hello_with_an_endless_epoch_name_is_refused() -> None:
    span = {Lane.ALARMS: Span(first=1, head=1)}
    hello = Hello(gateway="gw-test-0001", boot="b", release="1", machine="m", clock=Clock(), epochs={"e" * 65: span})
    with pytest.raises(DecodeError):
        decode(encode(hello), Hello)
