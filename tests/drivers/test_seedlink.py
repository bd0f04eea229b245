"""The SeedLink driver against a server on the loopback, and on records that do not fit together."""

from __future__ import annotations

import asyncio
from array import array
from itertools import pairwise

import pytest

from drivers.base import Group, Scan, find
from drivers.errors import LinkError, SettingsError
from drivers.seedlink import HOLD_S, Assembly, Place
from drivers.timeline import Timeline
from seismic import seedlink
from seismic.packet import Packet
from seismic.seedlink_client import RefusedError, Session, Wanted
from tests.seismic.recordings import START_NS, packets, ridgecrest
from tests.seismic.seedlink_servers import Server, serving
from wire.record import WaveFlag
from wire.sample import Quality

KIND = find("seedlink")
NS = 10**9
PERIOD_NS = NS // 100
NOW_NS = 5_000 * NS
SECONDS = 20


def group(*channels: str, name: str = "ground.motion", **source) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(station="CI_CCC"),
        tags=tuple(f"ground.{channel.lower()}" for channel in channels),
        sources=tuple(KIND.source(channel=channel, **source) for channel in channels),
    )


def driver_for(server: Server, *groups: Group):
    return KIND.build(KIND.settings(url=f"tcp://127.0.0.1:{server.port}", timeout_s=2.0), groups)


async def gather(driver, count: int, into: list[Scan] | None = None) -> list[Scan]:
    scans = [] if into is None else into
    stream = driver.scans()
    async with asyncio.timeout(10):
        async for scan in stream:
            scans.append(scan)
            if len(scans) == count:
                break
    await stream.aclose()
    return scans


def rows(count: int) -> list[tuple[int, ...]]:
    return list(zip(*ridgecrest(), strict=True))[:count]


async def test_scans_hold_the_counts_of_all_components_and_the_time_of_the_digitiser():
    with serving(packets(timing=95, flags=int(WaveFlag.CLOCK_LOCKED))[: 3 * SECONDS]) as server:
        driver = driver_for(server, group("HNE", "HNN", "HNZ"))
        await driver.open()
        scans = await gather(driver, 100 * SECONDS)
        await driver.close()
    assert [scan.values for scan in scans] == rows(100 * SECONDS)
    assert [scan.mono_ns + scan.clock.offset_ns for scan in scans] == [
        START_NS + number * PERIOD_NS for number in range(100 * SECONDS)
    ]
    assert {(scan.clock.timing, scan.clock.flags) for scan in scans} == {(95, WaveFlag.CLOCK_LOCKED)}
    assert all(one.mono_ns <= other.mono_ns for one, other in pairwise(scans))
    assert driver.faults == 0


async def test_a_cut_is_resumed_by_sequence_without_a_gap():
    with serving(packets()[: 3 * SECONDS], first=1000, cut_after=31) as server:
        driver = driver_for(server, group("HNE", "HNN", "HNZ"))
        await driver.open()
        scans: list[Scan] = []
        with pytest.raises(LinkError):
            await gather(driver, 100 * SECONDS, scans)
        await driver.close()
        await driver.open()
        scans += await gather(driver, 100 * SECONDS - len(scans))
        await driver.close()
    assert b"DATA 1030" in b"".join(server.heard)  # of whose second one component had come
    assert [scan.values for scan in scans] == rows(100 * SECONDS)
    assert driver.faults == 0


async def test_a_server_of_version_3_is_taken_too(monkeypatch):
    old = seedlink.Hello("old server", "nowhere", ("3.1",))
    monkeypatch.setattr("tests.seismic.seedlink_servers.HELLO", old)
    with serving(packets()[: 3 * SECONDS], first=0xFFFFF0) as server:
        driver = driver_for(server, group("HNZ"))
        await driver.open()
        scans = await gather(driver, 100 * SECONDS)
        await driver.close()
    assert [scan.values[0] for scan in scans] == list(ridgecrest()[2][: 100 * SECONDS])
    assert b"SLPROTO" not in b"".join(server.heard)
    assert b"STATION CCC CI" in b"".join(server.heard)


async def test_a_server_that_sends_nothing_is_a_time_out_that_says_what_to_look_at():
    with serving([]) as server:
        driver = KIND.build(KIND.settings(url=f"tcp://127.0.0.1:{server.port}", timeout_s=0.05), [group("HNZ")])
        await driver.open()
        with pytest.raises(LinkError, match="no record") as caught:
            await gather(driver, 1)
        assert "channels" in caught.value.hint
        await driver.close()


def record(channel: str, at: int, counts: list[int], rate_hz: float = 100.0) -> Packet:
    return Packet(f"CI.CCC..{channel}", START_NS + at * PERIOD_NS, 0, rate_hz, array("i", counts))


def assembly(*channels: str) -> Assembly:
    return Assembly(group(*channels), Timeline())


def give(one: Assembly, *records: Packet) -> list[tuple]:
    return [scan.values for each in records for scan in one.take(each, Place(0, 0), NOW_NS)]


def test_a_channel_that_lacks_samples_gives_bad_values_beside_the_others():
    one = assembly("HNZ", "HNN")
    found = [
        (scan.values, scan.quality)
        for each in (record("HNZ", 0, [1, 2, 3, 4]), record("HNN", 0, [10]), record("HNN", 3, [40]))
        for scan in one.take(each, Place(0, 0), NOW_NS)
    ]
    bad = int(Quality.BAD_FRAME)
    assert found == [((1, 10), (0, 0)), ((2, None), (0, bad)), ((3, None), (0, bad)), ((4, 40), (0, 0))]
    assert one.faults == 3


def test_a_channel_that_falls_silent_holds_the_others_up_for_a_while_only():
    one = assembly("HNZ", "HNN")
    assert give(one, record("HNZ", 0, [1] * int(HOLD_S * 100))) == []
    assert give(one, record("HNZ", int(HOLD_S * 100), [2] * 101)) == [(1, None)] * 100
    assert give(one, record("HNN", 50, [7])) == []


def test_another_rate_begins_anew():
    one = assembly("HNZ")
    assert give(one, record("HNZ", 0, [1, 2])) == [(1,), (2,)]
    assert give(one, record("HNZ", 10, [3], rate_hz=50.0)) == [(3,)]
    assert one.faults == 1


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 1e9])
def test_a_record_without_a_rate_is_counted_and_dropped(rate_hz):
    one = assembly("HNZ")
    assert give(one, record("HNZ", 0, [1, 2], rate_hz)) == []
    assert one.faults == 1


def test_a_group_without_channels_is_refused():
    with pytest.raises(SettingsError, match="channels"):
        Assembly(group(), Timeline())


def talk(*answers: bytes) -> list:
    session = Session([Wanted("CI_CCC", ("_H_N_Z",))], {"CI_CCC": 41})
    said = [session.begin()]
    for answer in answers:
        said += list(session.feed(answer))
    return said


HELLO_4 = b"SeedLink v4.0 (x) :: SLPROTO:4.0 SLPROTO:3.1\r\nnet\r\n"


def test_the_client_falls_back_when_the_server_does_not_keep_what_it_offers():
    said = talk(HELLO_4, b"ERROR UNSUPPORTED\r\n", *[b"OK\r\n"] * 3)
    assert said == [
        b"HELLO\r\n",
        b"SLPROTO 4.0\r\n",
        b"STATION CCC CI\r\n",
        b"SELECT HNZ\r\n",
        b"DATA 00002A\r\n",
        b"END\r\n",
    ]


def test_the_client_takes_answers_in_any_pieces():
    whole = talk(HELLO_4, *[b"OK\r\n"] * 5)
    pieces = talk(*[bytes((octet,)) for octet in HELLO_4 + b"OK\r\n" * 5])
    assert pieces == whole
    assert whole[-2:] == [b"DATA 42\r\n", b"END\r\n"]


def test_a_refusal_says_what_was_refused():
    with pytest.raises(RefusedError, match="ERROR UNAUTHORIZED' to 'STATION CI_CCC'"):
        talk(HELLO_4, b"OK\r\n", b"OK\r\n", b"ERROR UNAUTHORIZED\r\n")
