"""Our programs' end of a broker connection: a cancellation that comes in the same moment as an answer is heeded."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from fleet.bootstrap import Services
from fleet.broker_client import connect


@pytest.mark.parametrize("call", ["publish", "subscribe"])
async def test_a_cancellation_in_the_moment_of_the_answer_ends_the_task(
    call: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = asyncio.Event()

    async def wait_for_answer(_client: aiomqtt.Client, _topic: object) -> None:
        await asyncio.wait_for(answered.wait(), 5)

    monkeypatch.setattr(aiomqtt.Client, call, wait_for_answer)
    client = connect(services.settings, "test", queued=1)
    asking = asyncio.create_task(getattr(client, call)("fs/1/gw/down/greet"))
    await asyncio.sleep(0)
    answered.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
