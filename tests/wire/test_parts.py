"""Messages in parts: whole again, whatever is lost, repeated or made up, and never more in memory than allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import DecodeError
from wire.parts import MESSAGE_MOST_BYTES, Assembler, Part, cut
from wire.topics import Up

GATEWAY = "gw-test-0001"


@given(payload=st.binary(min_size=1, max_size=500), size=st.integers(1, 100))
def test_what_was_cut_is_put_together(payload, size) -> None:
    assembler = Assembler()
    *before, last = cut(Up.BATCH, 7, payload, size)
    assert all(assembler.take(GATEWAY, part) is None for part in before)
    assert assembler.take(GATEWAY, last) == (Up.BATCH, payload)


def test_two_kinds_and_two_gateways_do_not_mix() -> None:
    assembler = Assembler()
    batch, report = list(cut(Up.BATCH, 1, b"abcd", 2)), list(cut(Up.REPORTED, 2, b"efgh", 2))
    for gateway, part in ((GATEWAY, batch[0]), (GATEWAY, report[0]), ("gw-test-0002", batch[0])):
        assert assembler.take(gateway, part) is None
    assert assembler.take(GATEWAY, batch[1]) == (Up.BATCH, b"abcd")
    assert assembler.take(GATEWAY, report[1]) == (Up.REPORTED, b"efgh")


def test_message_with_a_lost_part_never_comes_and_the_next_one_does() -> None:
    assembler = Assembler()
    first, _, third = cut(Up.BATCH, 1, b"abcdef", 2)
    assert assembler.take(GATEWAY, first) is None
    assert assembler.take(GATEWAY, third) is None
    again = list(cut(Up.BATCH, 2, b"uvwx", 2))
    assert [assembler.take(GATEWAY, part) for part in again] == [None, (Up.BATCH, b"uvwx")]


def test_repeated_part_changes_nothing() -> None:
    assembler = Assembler()
    first, second, third = cut(Up.BATCH, 1, b"abcdef", 2)
    assert [assembler.take(GATEWAY, part) for part in (first, second, second)] == [None] * 3
    assert assembler.take(GATEWAY, third) == (Up.BATCH, b"abcdef")


def test_restarted_gateway_that_counts_from_the_beginning_begins_anew() -> None:
    assembler = Assembler()
    assembler.take(GATEWAY, next(cut(Up.BATCH, 0, b"old.", 2)))
    assert [assembler.take(GATEWAY, part) for part in cut(Up.BATCH, 0, b"new!", 2)] == [None, (Up.BATCH, b"new!")]


@pytest.mark.parametrize("kind", ["part", "live", "welcome", "nonsense"])
def test_part_of_what_does_not_come_in_parts_is_refused(kind: str) -> None:
    with pytest.raises(DecodeError, match=kind):
        Assembler().take(GATEWAY, Part(kind=kind, number=1, index=0, count=1, octets=b""))


def test_message_without_end_is_refused_and_forgotten() -> None:
    assembler = Assembler()
    chunk = bytes(1024 * 1024)
    most = MESSAGE_MOST_BYTES // len(chunk)
    parts = [Part(kind="batch", number=1, index=index, count=2**31, octets=chunk) for index in range(most + 1)]
    assert [assembler.take(GATEWAY, part) for part in parts[:most]] == [None] * most
    with pytest.raises(DecodeError, match="larger"):
        assembler.take(GATEWAY, parts[most])
    assert assembler._held == 0


def test_memory_is_bounded_over_all_gateways_the_oldest_goes() -> None:
    assembler = Assembler(held_most_bytes=1000)
    for gateway in range(100):
        assembler.take(f"gw-test-{gateway:04}", Part(kind="batch", number=1, index=0, count=2, octets=bytes(100)))
        assert assembler._held <= 1000
    last = Part(kind="batch", number=1, index=1, count=2, octets=b"!")
    assert assembler.take("gw-test-0000", last) is None
    assert assembler.take("gw-test-0099", last) == (Up.BATCH, bytes(100) + b"!")
