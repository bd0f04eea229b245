"""The ring on disk: power cuts, a full disk, its bounds, and windows across files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.waves import hours
from edge.waves.hours import HOUR_NS, Hours
from edge.waves.ring import Ring
from seismic import miniseed
from seismic.packet import Packet
from tests.seismic.recordings import START_NS, STREAMS, packets
from wire.record import WaveFlag

PLENTY = 1 << 30
ALL = 0, 1 << 62
E_STREAM = STREAMS[0]
RIDGECREST = [packet for packet in packets(timing=90, flags=int(WaveFlag.CLOCK_LOCKED)) if packet.stream == E_STREAM]


def _hours(folder: Path, keep_octets: int = PLENTY, days: int = 30, **more) -> Hours:
    return Hours(folder, keep_octets, lambda _: days, **more)


def _without_mono(packet: Packet) -> Packet:
    return Packet(packet.stream, packet.start_ns, 0, packet.rate_hz, packet.counts, packet.timing, packet.flags)


def _at(packet: Packet, shift_ns: int) -> Packet:
    assert packet.start_ns is not None
    return Packet(packet.stream, packet.start_ns + shift_ns, 0, packet.rate_hz, packet.counts)


def _file(folder: Path) -> Path:
    (file,) = folder.glob("*/*")
    return file


def test_what_was_written_is_read_back_exactly(tmp_path):
    ring = _hours(tmp_path)
    ring.write(RIDGECREST)
    assert ring.read(E_STREAM, *ALL) == [_without_mono(packet) for packet in RIDGECREST]
    assert _file(tmp_path).relative_to(tmp_path) == Path("CI.CCC..HNE/2019.187.03.mseed")
    assert ring.octets == _file(tmp_path).stat().st_size
    ring.close()


def test_a_window_holds_the_packets_with_samples_in_it_and_no_other(tmp_path):
    ring = _hours(tmp_path)
    ring.write(RIDGECREST)
    second = 10**9
    found = ring.read(E_STREAM, START_NS + 10 * second + 1, START_NS + 12 * second)
    assert [(packet.start_ns - START_NS) // second for packet in found] == [10, 11]
    assert ring.read(E_STREAM, START_NS - 9 * second, START_NS) == []
    assert ring.read("CI.CCC..HNX", *ALL) == []
    ring.close()


def test_a_window_is_read_across_files(tmp_path):
    ring = _hours(tmp_path)
    ring.write([_at(packet, shift * HOUR_NS) for shift in range(3) for packet in RIDGECREST[:2]])
    assert len(list(tmp_path.glob("*/*"))) == 3
    found = ring.read(E_STREAM, START_NS + 10**9, START_NS + 2 * HOUR_NS + 10**9)
    assert [(packet.start_ns - START_NS) / 10**9 for packet in found] == [1, 3600, 3601, 7200]
    ring.close()


def test_a_packet_that_reaches_over_the_hour_is_in_the_window_behind_it(tmp_path):
    ring = _hours(tmp_path)
    late = _at(RIDGECREST[0], HOUR_NS - START_NS % HOUR_NS - 10**8)
    ring.write([late])
    assert ring.read(E_STREAM, late.start_ns + 10**8, late.start_ns + 10**10) == [late]
    ring.close()


@pytest.mark.parametrize("left", [0, 1, 39, 40, 100, -1])
def test_a_record_torn_by_a_power_cut_is_cut_off(tmp_path, left):
    ring = _hours(tmp_path)
    ring.write(RIDGECREST[:3])
    ring.close()
    file = _file(tmp_path)
    spans = list(miniseed.spans(file.read_bytes()))
    last = spans[-1]
    os.truncate(file, last.end - 1 if left < 0 else last.at + left)
    again = _hours(tmp_path)
    again.write(RIDGECREST[3:5])
    found = again.read(E_STREAM, *ALL)
    assert [packet.start_ns for packet in found] == [RIDGECREST[at].start_ns for at in (0, 1, 3, 4)]
    again.close()
    assert len(miniseed.read(file.read_bytes())) == 4


def test_blocks_that_a_power_cut_left_empty_are_cut_off(tmp_path):
    ring = _hours(tmp_path)
    ring.write(RIDGECREST[:3])
    ring.close()
    file = _file(tmp_path)
    octets = file.read_bytes()
    last = list(miniseed.spans(octets))[-1]
    file.write_bytes(octets[: last.at + 60] + bytes(last.end - last.at - 60 + 4096))
    again = _hours(tmp_path)
    again.write(RIDGECREST[2:3])
    assert len(again.read(E_STREAM, *ALL)) == 3
    again.close()
    assert file.read_bytes() == octets


def test_damage_in_the_middle_costs_its_record_only(tmp_path):
    ring = _hours(tmp_path)
    ring.write(RIDGECREST[:5])
    file = _file(tmp_path)
    octets = bytearray(file.read_bytes())
    second, fourth = (list(miniseed.spans(bytes(octets)))[at] for at in (1, 3))
    octets[second.at] ^= 0xFF
    octets[fourth.end - 3] ^= 0x10
    file.write_bytes(bytes(octets))
    found = ring.read(E_STREAM, *ALL)
    assert [packet.start_ns for packet in found] == [RIDGECREST[at].start_ns for at in (0, 2, 4)]
    ring.close()


def test_the_bound_of_days_keeps_the_newest_hours(tmp_path):
    ring = _hours(tmp_path, days=1)
    for hour in range(30):
        ring.write([_at(RIDGECREST[0], hour * HOUR_NS)])
    assert len(list(tmp_path.glob("*/*"))) == 24
    assert ring.read(E_STREAM, *ALL)[0].start_ns == START_NS + 6 * HOUR_NS
    ring.close()


def test_a_clock_that_jumps_far_ahead_and_back_does_not_empty_the_ring(tmp_path):
    ring = _hours(tmp_path, days=1)
    ring.write([_at(RIDGECREST[0], hour * HOUR_NS) for hour in range(10)])
    ring.write([_at(RIDGECREST[0], 80 * 365 * 24 * HOUR_NS)])
    ring.write([_at(RIDGECREST[0], 10 * HOUR_NS)])
    assert len(ring.read(E_STREAM, *ALL)) == 12
    ring.close()


def test_the_bound_of_octets_drops_the_oldest_hour_of_any_stream(tmp_path):
    batch = packets()[:6]
    size = sum(len(record) for packet in batch for record in miniseed.records(packet))
    ring = _hours(tmp_path, keep_octets=3 * size)
    for hour in range(5):
        ring.write([_at(packet, hour * HOUR_NS) for packet in batch])
    assert ring.octets <= 3 * size
    assert ring.octets == sum(file.stat().st_size for file in tmp_path.glob("*/*"))
    assert ring.lost == 0
    for stream in STREAMS:
        assert ring.read(stream, *ALL)[-1].start_ns >= START_NS + 4 * HOUR_NS
    ring.close()


def test_a_bound_that_does_not_take_an_hour_loses_packets_and_says_so(tmp_path):
    ring = _hours(tmp_path, keep_octets=600)
    ring.write(RIDGECREST[:1])
    ring.write(RIDGECREST[1:9])
    assert ring.lost == 8
    assert "600 octets" in ring.error
    assert len(ring.read(E_STREAM, *ALL)) == 1
    ring.close()


class FullDisk:
    """Takes so many octets, the last of them of a record torn in the middle, then none until there is room again."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, descriptor: int, octets: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(descriptor, octets[: self.room])
        self.room -= written
        return written


def test_a_full_disk_loses_packets_says_so_and_leaves_no_torn_record(tmp_path):
    disk = FullDisk(1000)
    ring = _hours(tmp_path, write=disk)
    for packet in RIDGECREST[:6]:
        ring.write([packet])
    kept = len(ring.read(E_STREAM, *ALL))
    assert ring.lost == 6 - kept > 0
    assert "No space left" in ring.error
    disk.room = PLENTY
    ring.write(RIDGECREST[6:7])
    assert ring.error == ""
    assert len(miniseed.read(_file(tmp_path).read_bytes())) == kept + 1
    ring.close()


def test_a_full_disk_drops_the_oldest_hours_first(tmp_path, monkeypatch):
    disk = FullDisk(PLENTY)
    ring = _hours(tmp_path, write=disk)
    ring.write([_at(RIDGECREST[0], hour * HOUR_NS) for hour in range(3)])
    disk.room = 0
    unlink = Path.unlink

    def unlink_and_free(file: Path, **options) -> None:
        disk.room += file.stat().st_size
        unlink(file, **options)

    monkeypatch.setattr(Path, "unlink", unlink_and_free)
    ring.write([_at(RIDGECREST[0], 3 * HOUR_NS)])
    assert ring.lost == 0
    assert [packet.start_ns for packet in ring.read(E_STREAM, *ALL)] == [START_NS + n * HOUR_NS for n in (1, 2, 3)]
    ring.close()


def test_packets_of_a_boot_without_utc_are_kept_in_1970(tmp_path):
    ring = _hours(tmp_path)
    ring.write([Packet(E_STREAM, None, 5 * 10**9, 100.0, RIDGECREST[0].counts)])
    (found,) = ring.read(E_STREAM, 0, HOUR_NS)
    assert found.start_ns == 5 * 10**9
    assert found.flags == WaveFlag.TIME_QUESTIONABLE
    ring.close()


def test_what_was_written_is_synced_now_and_then(tmp_path, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(hours.os, "fsync", synced.append)
    now_s = 0.0
    ring = _hours(tmp_path, monotonic=lambda: now_s)
    ring.write(RIDGECREST[:1])
    assert synced == []
    now_s = hours.SYNC_S
    ring.write(RIDGECREST[1:2])
    assert len(synced) == 1
    ring.close()


async def test_the_ring_reads_what_was_put_a_moment_ago(tmp_path):
    ring = await Ring.open(tmp_path / "waves", PLENTY, lambda _: 7)
    for packet in RIDGECREST:
        ring.put(packet)
    assert len(await ring.read(E_STREAM, *ALL)) == len(RIDGECREST)
    assert ring.figures.octets > 0
    await ring.close()
    await ring.close()


async def test_a_ring_that_overflows_counts_what_it_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("edge.waves.ring.WAITING_MOST", 5)
    ring = await Ring.open(tmp_path, PLENTY, lambda _: 7)
    for packet in RIDGECREST[:8]:
        ring.put(packet)
    assert ring.figures.lost == 3
    await ring.close()


def test_a_disk_that_syncs_no_more_is_an_error_that_is_said(tmp_path, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    seconds = iter(range(0, 1000, 20))
    ring = _hours(tmp_path, monotonic=lambda: next(seconds))
    monkeypatch.setattr("os.fsync", fail)
    ring.write(RIDGECREST[:3])
    assert "Input/output error" in ring.error
    ring.close()
    assert not ring._open
