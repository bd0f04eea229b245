"""What a recorder writes down replays."""

import asyncio

import pytest

from drivers.base import Group, find
from drivers.errors import LinkError
from drivers.recorder import Recorder
from drivers.replay import Replay, parse_capture
from tests.drivers.lines import Answering

KIND = find("modbus")
SETTINGS = KIND.settings(url="tcp://192.0.2.1:502", timeout_s=0.02)
GROUP = Group(
    name="tank.fast",
    device_name="tank",
    device=KIND.device(unit=1),
    tags=("tank.level", "tank.flow"),
    sources=(KIND.source(address=0), KIND.source(address=200)),
)


def answer(request: bytes) -> tuple[bytes, float]:
    """One register, as its address: a slave in one line."""
    return request[:4] + b"\x00\x05" + request[6:8] + b"\x02" + request[8:10], 0.0


async def converse(line) -> list[tuple[object, ...]]:
    driver = KIND.build(SETTINGS, (GROUP,), line=line)
    await driver.open()
    scans = [await driver.read(GROUP) for _ in range(3)]
    await driver.close()
    return [scan.values for scan in scans]


async def test_recorded_conversation_replays_with_the_same_result():
    text: list[str] = []
    values = await converse(Recorder(Answering(answer), text.append))
    assert values == [(0, 200)] * 3
    steps = parse_capture("".join(text))
    assert [step.sent for step in steps] == [True, False] * 6
    replay = Replay(steps)
    assert await converse(replay) == values
    assert replay.is_done


async def test_recorder_tells_when_and_what_became_of_the_line():
    ticks = iter((0, 1_500_000, 2_000_000_000, 61_000_000_000, 62_000_000_000, 63_000_000_000))
    text: list[str] = []
    inner = Answering(lambda _: (b"\x00\xff", 0.0))
    line = Recorder(inner, text.append, clock=lambda: next(ticks))
    await line.open()
    await line.write(b"?\n")
    assert await line.read() == b"\x00\xff"
    inner.arrive(b"late")
    assert line.discard() == 4
    assert line.discard() == 0
    inner.hang_up()
    with pytest.raises(LinkError):
        await line.read()
    assert "".join(text) == (
        "# +0.002 s opened\n# +2.000 s\n> 3f 0a\n# +61.000 s\n< 00 ff\n"
        "# +62.000 s 4 octets thrown away unread\n# +63.000 s down: hung up\n"
    )


async def test_write_that_failed_is_marked():
    text: list[str] = []
    line = Recorder(Answering(lambda _: (b"", 0.0)), text.append)
    with pytest.raises(LinkError):
        await line.write(b"x")
    assert text[-1].endswith("not sent: the line is not open\n")


async def test_each_step_of_a_replay_is_one_read():
    line = Replay(parse_capture('<" one"\n<" two"\n'))
    await line.open()
    assert [await line.read(), await line.read()] == [b'one"', b'two"']


async def test_recorder_without_a_sink_hands_through_and_starts_in_the_middle_of_a_read():
    text: list[str] = []
    inner = Answering(lambda _: (b"", 0.0))
    line = Recorder(inner)
    await line.open()
    inner.arrive(b"one")
    assert await line.read() == b"one"
    waiting = asyncio.create_task(line.read())
    await asyncio.sleep(0)
    line.start(text.append)
    inner.arrive(b"two")
    assert await waiting == b"two"
    line.stop()
    inner.arrive(b"three")
    assert await line.read() == b"three"
    assert [step.data for step in parse_capture("".join(text))] == [b"two"]
