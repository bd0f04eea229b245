"""The instrument of a seismic station: what it sends, and what it says that the gateway ought to find."""

from __future__ import annotations

import socket

import pytest

from lab.instruments.ground import load_recording
from lab.instruments.seismograph import Seismograph, find_strongest
from lab.instruments.shake import BATCH, COUNTS_PER_MS2, STANDARD_GRAVITY, connect

RECORDING = load_recording()


def sent(seismograph: Seismograph, batches: int) -> dict[str, list[int]]:
    """Let it send, and read its datagrams."""
    counts: dict[str, list[int]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        with connect(heard.getsockname()[1]) as network:
            for number in range(batches):
                seismograph.emit(network, 1_790_000_000 + number * 0.25)
                for _ in range(3):
                    channel, *numbers = heard.recv(4096).decode().strip("{}").split(", ")
                    counts.setdefault(channel.strip("'"), []).extend(int(each) for each in numbers[1:])
    return counts


def test_recording_is_sent_to_the_count_after_its_delay() -> None:
    seismograph = Seismograph(0, "pier.intensity_gb", lambda *_: None, RECORDING, scale=0.5, delay_s=0.5)
    seismograph.strike()
    counts = sent(seismograph, 4)
    assert [len(column) for column in counts.values()] == [4 * BATCH] * 3
    north = [round(0.5 * each[1] * STANDARD_GRAVITY * COUNTS_PER_MS2) for each in RECORDING[: 2 * BATCH]]
    assert counts["ENN"][2 * BATCH :] == north
    assert abs(sum(counts["ENZ"]) / len(counts["ENZ"]) / COUNTS_PER_MS2 - STANDARD_GRAVITY) < 0.1, (
        "gravity stands on it"
    )


def test_intensity_is_observed_as_it_grows_and_the_peak_is_timed() -> None:
    seen: list[float] = []
    seismograph = Seismograph(0, "pier.intensity_gb", lambda _tag, value, _at: seen.append(value), RECORDING)
    seismograph.strike()
    peak = find_strongest(1.0)
    sent(seismograph, peak // BATCH)
    assert not seismograph.peaked.is_set()
    sent(seismograph, 1)
    assert seismograph.peaked.is_set()
    assert seismograph.peak[0] == 1_790_000_000 * 10**9 + (peak % BATCH) * 10**7, "in the one batch of the second run"
    assert peak == 3857, "by scipy"
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(9.61, abs=0.01) == seismograph.peak_intensity
