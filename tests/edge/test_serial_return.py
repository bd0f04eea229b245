"""A serial port that is pulled out and plugged in again, under a collector."""

import asyncio
import os
import random
import time

from drivers.base import Group, find
from edge.collect import Collector
from edge.line import Line
from edge.settings import Bus, ScanGroup
from lab.instruments.pty_line import PtyLine
from wire.sample import Quality


async def test_adapter_that_was_pulled_out_is_read_again_once_it_is_back(tmp_path):
    name = tmp_path / "usb-Prolific_PL2303-if00-port0"
    kind = find("nmea")
    source = kind.source(sentence="MWV", field="speed", reference="R")
    group = Group(name="mast.wind", device_name="mast", device=kind.device(), tags=("mast.speed",), sources=(source,))
    bus = Bus(
        name="mast-line",
        kind=kind,
        settings=kind.settings(url=f"serial://{name}"),
        groups=(ScanGroup(group=group, poll_s=None),),
    )
    scans = asyncio.Queue()
    collector = Collector(
        Line(bus), scans.put_nowait, mono_ns=time.monotonic_ns, jitter=random.Random(1), journal=lambda *_: None
    )
    running = asyncio.create_task(collector.run())
    for _ in range(2):
        adapter = PtyLine()
        os.symlink(adapter.path, name)
        await asyncio.wait_for(adapter.opened(), 5)
        assert adapter.write(b"$WIMWV,214.8,R,3.1,M,A*2D\r\n")
        while (scan := await asyncio.wait_for(scans.get(), 5)).quality != (Quality.GOOD,):
            assert scan.quality == (Quality.BAD_LINK,)
        adapter.close()
        name.unlink()
        assert (await asyncio.wait_for(scans.get(), 5)).quality == (Quality.BAD_LINK,)
    running.cancel()
    await asyncio.wait([running])
