"""Requests of a recorded Modbus TCP conversation numbered anew."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.numbers import renumber_mbap
from drivers.replay import Step, parse_capture, put_steps

ASK, TOLD = "00 00 00 06 01 03 00 00 00 01", "00 00 00 05 01 03 02 00 2a"


def renumbered(text: str) -> str:
    return put_steps(text, renumber_mbap(parse_capture(text)))


def test_requests_count_from_one_replies_follow_theirs_and_comments_stay() -> None:
    was = f"# +0.1 s\n> 1a 07 {ASK}\n# +0.2 s\n< 1a 07 {TOLD}\n> 1a 09 {ASK}\n< 1a 09 {TOLD}\n"
    assert renumbered(was) == (f"# +0.1 s\n> 00 01 {ASK}\n# +0.2 s\n< 00 01 {TOLD}\n> 00 02 {ASK}\n< 00 02 {TOLD}\n")


def test_late_reply_gets_the_number_of_the_request_that_it_answers() -> None:
    was = f"> 00 51 {ASK}\n> 00 52 {ASK}\n< 00 51 {TOLD} 00 52 {TOLD}\n"
    assert renumbered(was) == f"> 00 01 {ASK}\n> 00 02 {ASK}\n< 00 01 {TOLD} 00 02 {TOLD}\n"


def test_reply_to_what_was_not_recorded_answers_nothing() -> None:
    assert renumbered(f"< 00 01 {TOLD}\n> 00 07 {ASK}\n") == f"< 00 00 {TOLD}\n> 00 01 {ASK}\n"


@given(st.lists(st.integers(1, 11), max_size=12))
def test_pieces_of_a_reply_keep_their_lengths(sizes: list[int]) -> None:
    reply, pieces = bytes.fromhex(f"4711{TOLD}") * 3, list[bytes]()
    for size in sizes:
        pieces.append(reply[:size])
        reply = reply[size:]
    pieces.append(reply)
    steps = (Step(True, bytes.fromhex(f"4711{ASK}")), *(Step(False, piece) for piece in pieces))
    new = renumber_mbap(steps)
    assert [len(step.data) for step in new] == [len(step.data) for step in steps]
    assert b"".join(step.data for step in new if not step.sent) == bytes.fromhex(f"0001{TOLD}") * 3


@given(st.lists(st.builds(Step, st.booleans(), st.binary(max_size=20))))
def test_whatever_was_recorded_keeps_its_shape(steps: list[Step]) -> None:
    sendable = [step for step in steps if not step.sent or len(step.data) > 1]
    new = renumber_mbap(sendable)
    assert [(step.sent, len(step.data)) for step in new] == [(step.sent, len(step.data)) for step in sendable]
