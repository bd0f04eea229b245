import asyncio

import msgspec
import pytest

from drivers.base import Group, find
from drivers.errors import FrameError, LinkTimeoutError, SettingsError
from tests.drivers.lines import Answering

KIND = find("frames_polled")
TEXT = {"text": {"pattern": r"T=(?P<t>-?\d+)|H=(?P<h>\d+)"}}


def group(*fields: dict, name: str = "store.air", **device) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=msgspec.convert(TEXT | device, KIND.device),
        tags=tuple(f"store.t{number}" for number in range(len(fields))),
        sources=tuple(msgspec.convert(field, KIND.source) for field in fields),
    )


def driver_of(*groups: Group, line=None, **settings):
    return KIND.build(KIND.settings(url="serial:///dev/ttyS0", **settings), groups, line=line)


async def test_late_reply_never_answers_another_request():
    temperature = group({"field": "t"}, request="T?\r\n")
    other = group({"field": "t"}, name="yard.air", request="U?\r\n")
    delays = iter([0.03, 0.0])
    replies = {b"T?\r\n": b"T=99\r\n", b"U?\r\n": b"T=21\r\n"}
    line = Answering(lambda request: (replies[request], next(delays)))
    driver = driver_of(temperature, other, line=line, timeout_s=0.01, late_max_s=0.1)
    await driver.open()
    with pytest.raises(LinkTimeoutError):
        await driver.read(temperature)
    assert (await driver.read(other)).values == (21,)
    await driver.close()


async def test_request_that_was_broken_off_is_heard_out_too():
    temperature = group({"field": "t"}, request="T?\r\n")
    replies = iter([(b"T=99\r\n", 0.03), (b"T=21\r\n", 0.0)])
    driver = driver_of(temperature, line=Answering(lambda _: next(replies)), timeout_s=1.0, late_max_s=0.1)
    await driver.open()
    waiting = asyncio.create_task(driver.read(temperature))
    await asyncio.sleep(0.005)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await driver.read(temperature)).values == (21,)
    await driver.close()


async def test_answer_in_time_costs_no_wait_before_the_next():
    temperature = group({"field": "t"}, request="T?\r\n")
    line = Answering(lambda _: (b"T=21\r\n", 0.0))
    driver = driver_of(temperature, line=line, timeout_s=0.05, late_max_s=60)
    await driver.open()
    for _ in range(3):
        assert (await asyncio.wait_for(driver.read(temperature), 1)).values == (21,)
    await driver.close()


async def test_frame_of_another_kind_is_no_answer():
    humidity = group({"field": "h"}, request="H?\r\n")
    driver = driver_of(humidity, line=Answering(lambda _: (b"T=21\r\nH=48\r\n", 0.0)), timeout_s=0.05)
    await driver.open()
    assert (await driver.read(humidity)).values == (48,)
    await driver.close()


async def test_answer_of_the_wrong_kind_only_is_a_frame_error():
    humidity = group({"field": "h"}, request="H?\r\n")
    driver = driver_of(humidity, line=Answering(lambda _: (b"T=21\r\n", 0.0)), timeout_s=0.01)
    await driver.open()
    with pytest.raises(FrameError, match="no declared frame"):
        await driver.read(humidity)
    await driver.close()


@pytest.mark.parametrize(
    ("device", "fields", "says"),
    [
        ({}, [{"field": "t"}], "no request"),
        ({"request": "T?"}, [{"field": "t"}, {"field": "h", "request": "H?"}], "several requests"),
        ({"request": "T?", "request_hex": "54"}, [{"field": "t"}], "leave one out|request and request_hex"),
        ({"request": "温?"}, [{"field": "t"}], "octets"),
        ({"request": "T?"}, [{"field": "x"}], "no group 'x'"),
        ({"request": "T?"}, [], "no request|no tags"),
    ],
)
def test_group_that_cannot_be_asked_for_is_refused_when_the_driver_is_made(device, fields, says):
    with pytest.raises(SettingsError, match=says):
        driver_of(group(*fields, **device))
