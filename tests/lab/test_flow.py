"""The radar that answers in a text of its own, against the driver that is told of it."""

import asyncio

import msgspec

from drivers.base import Group, find
from lab.instruments.flow import FlowRadar, sentence
from lab.instruments.pty_line import PtyLine
from lab.ledger import Ledger

TEXT = {
    "pattern": r"V=(?P<v>-?\d+\.\d+),Q=(?P<q>\d+),N=(?P<n>\d+)\*[0-9A-F]{2}",
    "checksum": {"kind": "xor8", "form": "hex", "gap": 1},
}


def test_sentence_ends_with_the_sum_of_its_octets():
    assert sentence("AB") == b"AB*03\r\n"


async def test_radar_answers_what_it_is_asked_and_counts_each_answer():
    line, seen = PtyLine(), []
    ledger = Ledger("gw", "flow.surface", values=3, counter="flow.polls")
    radar = FlowRadar(line, ledger, lambda *said: seen.append(said))
    kind = find("frames_polled")
    group = Group(
        name="flow.surface",
        device_name="flow",
        device=msgspec.convert({"request": "V?\r\n", "text": TEXT}, kind.device),
        tags=("flow.speed", "flow.echo", "flow.polls"),
        sources=tuple(kind.source(field=field) for field in "vqn"),
    )
    driver = kind.build(kind.settings(url=f"serial://{line.path}", timeout_s=5.0), [group])
    answering = asyncio.create_task(radar.run())
    await driver.open()
    try:
        scans = [await driver.read(group) for _ in range(3)]
    finally:
        await driver.close()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        line.close()
    assert [scan.values[2] for scan in scans] == [1, 2, 3]
    assert [(tag, value) for tag, value, _ in seen] == [("flow.speed", scan.values[0]) for scan in scans]
    assert ledger.scans == 3
