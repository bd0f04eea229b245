from __future__ import annotations

import threading
import time
from itertools import count

import pytest

from fleet.console import streams
from fleet.console.streams import Held, Slots, stream_changes
from fleet.live import Live, LiveValue

GATEWAY = "gw-yufu-0001"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GATHER_S", 0.0)


def test_values_are_sent_and_alarms_ask_to_read_again() -> None:
    live = Live()
    live.put_values(GATEWAY, {"a.x": LiveValue(1.5, 0, 7)})
    parts = stream_changes(
        live, GATEWAY, count().__next__, lambda values: {tag: value.value for tag, value in values.items()}, 5
    )
    assert next(parts) == "retry: 1000\n\n"
    assert next(parts) == 'event: tags\ndata: {"a.x":1.5}\n\n'
    live.note_alarms()
    assert next(parts) == "event: changed\ndata: {}\n\n"


def test_silence_is_filled_with_beats_and_the_stream_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 0.05)
    began = time.monotonic()
    parts = list(stream_changes(Live(), None, lambda: 0, lifetime_s=0.2))
    assert time.monotonic() - began < 2
    assert set(parts[1:]) == {": beat\n\n"}


def test_stream_ends_with_the_session() -> None:
    live = Live()
    newest: list[int | None] = [1, 2, None]
    parts = stream_changes(live, None, lambda: newest.pop(0), lifetime_s=30)
    next(parts)
    live.note_alarms()
    assert "event: changed" in next(parts)
    live.note_alarms()
    assert list(parts) == []


def test_an_alarm_that_the_reader_may_not_see_tells_nothing() -> None:
    live = Live()
    parts = stream_changes(live, None, lambda: 7, lifetime_s=30)
    next(parts)
    live.note_alarms()
    assert next(parts) == ": beat\n\n"


def test_stream_ends_when_the_program_ends() -> None:
    live = Live()
    parts = stream_changes(live, None, lambda: 0, lifetime_s=30)
    next(parts)
    threading.Timer(0.1, live.close).start()
    began = time.monotonic()
    assert list(parts) == [": beat\n\n"]
    assert time.monotonic() - began < 5


def test_page_on_which_nothing_changes_is_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "AGAIN_S", 0.1)
    monkeypatch.setattr(streams, "LOOK_S", 0.05)
    assert "event: changed\ndata: {}\n\n" in list(stream_changes(Live(), None, lambda: 0, lifetime_s=0.4))


def test_slot_is_given_back_once_even_if_the_stream_never_began() -> None:
    slots = Slots(1)
    assert slots.take()
    assert not slots.take()
    held = Held(stream_changes(Live(), None, lambda: 0), slots)
    held.close()
    held.close()
    assert slots.take()
    assert not slots.take()
