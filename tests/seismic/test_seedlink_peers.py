"""Clients that we did not write stream from our session and resume, and ours from it too."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest
from obspy.clients.seedlink.client.seedlinkconnection import SeedLinkConnection
from obspy.clients.seedlink.slpacket import SLPacket
from seedlink_client import SeedLink
from seedlink_client.protocol import Protocol

from seismic import miniseed
from tests.seismic.recordings import packets
from tests.seismic.seedlink_servers import Server, serving

WANTED = packets()[:30]


def _v4(server: Server, protocol: Protocol | None, **stream) -> list:
    with closing(SeedLink("127.0.0.1", server.port, timeout=5, protocol=protocol, dialup=True)) as client:
        client.add_stream("CI_CCC", **stream)
        client.connect()
        return list(client.collect(reconnect=False))


@pytest.mark.parametrize("protocol", list(Protocol))
def test_seedlink_client_gets_every_packet_in_either_version(protocol):
    with serving(WANTED) as server:
        found = _v4(server, protocol)
    assert [each.seqnum for each in found] == list(range(1, 31))
    assert [miniseed.read(each.payload)[0].counts for each in found] == [each.counts for each in WANTED]
    assert {each.station_id for each in found} == {"CI_CCC"}


def test_seedlink_client_resumes_by_sequence_after_a_cut():
    with (
        serving(WANTED, cut_after=11) as server,
        closing(SeedLink("127.0.0.1", server.port, timeout=5, dialup=True, reconnect_delay=0)) as client,
    ):
        client.add_stream("CI_CCC")
        client.connect()
        found = [each.seqnum for each in client.collect()]
    assert found == list(range(1, 31))


@pytest.mark.parametrize("selector", ["_H_N_Z", "_*_Z"])
def test_seedlink_client_selects_streams(selector):
    with serving(WANTED) as server:
        found = _v4(server, Protocol.V4, selectors=selector)
    assert [each.seqnum for each in found] == list(range(3, 31, 3))


@pytest.mark.parametrize("protocol", list(Protocol))
def test_seedlink_client_reads_what_the_server_has(protocol):
    with serving(WANTED) as server:
        client = SeedLink("127.0.0.1", server.port, timeout=5, protocol=protocol)
        client.connect()
        for level in ("ID", "CAPABILITIES", "STATIONS", "STREAMS"):
            answer = client.info_dict(level)
            text = client.info(level)
            assert "Fengsui" in text
            assert ("CCC" in text) == (level in ("STATIONS", "STREAMS"))
            assert ("HNZ" in text or "_H_N_Z" in text) == (level == "STREAMS")
        assert answer
        client.close()


class Collector(SeedLinkConnection):
    """obspy's client, up to so many packets."""

    def gather(self, server: Server, count: int, last: int = -1) -> list:
        self.set_sl_address(f"127.0.0.1:{server.port}")
        self.add_stream("CI", "CCC", "HNE HNN HNZ", last, None)
        found = []
        for _ in range(count):
            packet = self.collect()
            if packet is SLPacket.SLTERMINATE:
                break
            found.append(packet)
        self.close()
        return found


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("obspy.clients.seedlink").setLevel(logging.CRITICAL)


def test_obspy_streams_in_version_3_and_resumes():
    with serving(WANTED) as server:
        first = Collector(timeout=5).gather(server, 12)
        second = Collector(timeout=5).gather(server, 18, first[-1].get_sequence_number())
    found = first + second
    assert [each.get_sequence_number() for each in found] == list(range(1, 31))
    for each, packet in zip(found, WANTED, strict=True):
        trace = each.get_trace()
        assert trace.id == packet.stream
        assert list(trace.data) == list(packet.counts)
        assert trace.stats.starttime.ns == packet.start_ns
