import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DeviceError, FrameError, LinkError, LinkTimeoutError
from drivers.lines import LATE_MAX_S, Asker, LineSplitter
from tests.drivers.cases import Clock
from tests.drivers.lines import Answering

TIMEOUT_S = 0.03


def answer_of(line: bytes) -> str | None:
    """Instruments of this test answer ``<address>=<word>``; ``<address>!`` refuses."""
    address, _, word = line.decode("latin-1").partition("=")
    if line.endswith(b"!"):
        raise DeviceError("refused")
    if not (word.isascii() and word.isalnum()):
        raise FrameError(f"garbled {line!r}")
    return word if address == "a" else None


class Bench:
    """An asker and an instrument that answers each request as told: what, and after how long."""

    def __init__(self, replies: dict[bytes, list[tuple[bytes, float]]]) -> None:
        self.clock = Clock()
        self.line = Answering(lambda request: replies[request].pop(0) if replies.get(request) else (b"", 0.0))
        self.asker = Asker(self.line, 64, TIMEOUT_S, self.clock, lambda address: f"{address}?\n".encode())

    async def ask(self) -> str:
        return await self.asker.ask("a", b"read\n", answer_of)

    async def __aenter__(self):
        await self.line.open()
        return self

    async def __aexit__(self, *_):
        await self.line.close()


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 30))
def test_any_pieces_give_the_same_lines_and_little_is_held(pieces, octets_max):
    whole, split = LineSplitter(octets_max), LineSplitter(octets_max)
    cut = [line for piece in pieces for line in split.feed(piece)]
    assert cut == whole.feed(b"".join(pieces))
    assert all(line is None or 0 < len(line) <= octets_max for line in cut)
    split.clear()
    assert split.is_empty
    assert split.feed(b"next\r\n") == ([b"next"] if octets_max > 4 else [None])


def test_overlong_line_is_skipped_to_its_end():
    splitter = LineSplitter(8)
    assert splitter.feed(b"123456789") == []
    assert not splitter.is_empty
    assert splitter.feed(b"tail\nnext\n") == [None, b"next"]


async def test_line_of_another_and_garbled_ones_before_the_answer_are_passed_over():
    async with Bench({b"read\n": [(b"b=other\r\n\xff\xfe\r\na=mine\r\n", 0)]}) as bench:
        assert await bench.ask() == "mine"


async def test_silence_is_a_time_out_and_noise_a_bad_frame():
    async with Bench({b"read\n": [(b"", 0)]}) as bench:
        with pytest.raises(LinkTimeoutError, match="did not answer"):
            await bench.ask()
    for noise in (b"a=\xff\n", b"a=wor", b"x" * 100):
        async with Bench({b"read\n": [(noise, 0)]}) as bench:
            with pytest.raises(FrameError):
                await bench.ask()


async def test_late_reply_never_answers_another_request():
    replies = {b"read\n": [(b"a=old\n", 1.5 * TIMEOUT_S), (b"a=new\n", 0)], b"a?\n": [(b"a\n", 0)]}
    async with Bench(replies) as bench:
        with pytest.raises(LinkTimeoutError):
            await bench.ask()
        assert await bench.ask() == "new"
        assert bench.line.sent == [b"read\n", b"a?\n", b"read\n"]


async def test_reply_that_is_later_than_the_next_request_is_waited_out():
    replies = {b"read\n": [(b"a=old\n", 4 * TIMEOUT_S), (b"a=new\n", 0)], b"a?\n": [(b"a\n", 0)] * 9}
    async with Bench(replies) as bench:
        for _ in range(2):
            with pytest.raises(LinkTimeoutError):
                await bench.ask()
        await asyncio.sleep(3 * TIMEOUT_S)
        assert await bench.ask() == "new"


async def test_instrument_that_owes_a_reply_is_asked_again_without_ado_once_none_can_come():
    async with Bench({b"read\n": [(b"", 0), (b"a=new\n", 0)]}) as bench:
        with pytest.raises(LinkTimeoutError):
            await bench.ask()
        bench.clock.advance(LATE_MAX_S)
        assert await bench.ask() == "new"


async def test_cancelled_question_leaves_a_reply_owed():
    async with Bench({b"read\n": [(b"", 0), (b"a=new\n", 0)], b"a?\n": [(b"a\n", 0)]}) as bench:
        waiting = asyncio.create_task(bench.ask())
        await asyncio.sleep(TIMEOUT_S / 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await bench.ask() == "new"
        assert b"a?\n" in bench.line.sent


async def test_refusal_is_an_answer_and_leaves_nothing_owed():
    async with Bench({b"read\n": [(b"a!\n", 0), (b"a=new\n", 0)]}) as bench:
        with pytest.raises(DeviceError):
            await bench.ask()
        assert await bench.ask() == "new"


async def test_line_that_comes_unasked_may_come_together_with_the_answer():
    async with Bench({b"read\n": [(b"a=mine\na=more\n", 0)]}) as bench:
        assert await bench.ask() == "mine"
        assert await bench.asker.wait(answer_of, TIMEOUT_S) == "more"
        assert await bench.asker.wait(answer_of, TIMEOUT_S) is None


async def test_line_that_goes_down_ends_the_question():
    async with Bench({}) as bench:
        waiting = asyncio.create_task(bench.ask())
        await asyncio.sleep(TIMEOUT_S / 10)
        bench.line.hang_up()
        with pytest.raises(LinkError, match="hung up"):
            await waiting
