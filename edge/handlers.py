"""What each command does: the one table from names to deeds. A further command is a further entry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.operating import Operation
from edge.uplink import Uplink
from wire.alarm import ACTIONS, AlarmRequest
from wire.command import Order

TEST_MOST_S = 30
"""So long an output may be on for a test, in seconds."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Handler(msgspec.Struct, frozen=True):
    """``act`` gets the arguments, already of their type, and the whole order, and says what was done.

    It raises OSError, ValueError or RuntimeError where that could not be done, OperationError where it is refused.
    What ``is_long`` does not keep the commands behind it waiting: somebody may acknowledge an alarm meanwhile.
    """

    arguments: type[msgspec.Struct]
    act: Callable[[Any, Order], Awaitable[str]]
    is_long: bool = False


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a command that needs none."""


class LogLevelArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much the agent logs, and for how long."""

    level: Literal["debug", "info", "warning"]
    minutes: Annotated[float, Meta(gt=0, le=1440)] = 10.0


class LogLevel:
    """Sets how much the agent logs, and sets it back after a while."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._usual = logger.level
        self._back: asyncio.TimerHandle | None = None

    async def act(self, arguments: LogLevelArguments, _: Order) -> str:
        """Log more or less for some minutes."""
        if self._back is not None:
            self._back.cancel()
        self._logger.setLevel(LEVELS[arguments.level])
        loop = asyncio.get_running_loop()
        self._back = loop.call_later(arguments.minutes * 60, self._logger.setLevel, self._usual)
        return f"logging at {arguments.level} for {arguments.minutes:g} min"


class OutputTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which output is switched on, and for how long."""

    output: Annotated[str, Meta(max_length=64)]
    seconds: Annotated[float, Meta(ge=1, le=TEST_MOST_S)] = 5.0


def make_handlers(
    uplink: Uplink, operate: Callable[[Operation], str], test_output: Callable[[str, float], str]
) -> Mapping[str, Handler]:
    """Make the table of what this gateway carries out."""

    async def report(_: NoArguments, _order: Order) -> str:
        uplink.ask_report()
        return "what runs is reported again"

    async def reconnect(_: NoArguments, _order: Order) -> str:
        uplink.reconnect()
        return "the connection is built again"

    async def test(arguments: OutputTest, _order: Order) -> str:
        return test_output(arguments.output, arguments.seconds)

    return {
        "report": Handler(NoArguments, report),
        "reconnect": Handler(NoArguments, reconnect),
        "output-test": Handler(OutputTest, test),
        "log-level": Handler(LogLevelArguments, LogLevel(logging.getLogger()).act),
        **{f"alarm-{action}": Handler(AlarmRequest, partial(_operate, operate, action)) for action in ACTIONS},
    }


async def _operate(operate: Callable[[Operation], str], action: str, request: AlarmRequest, order: Order) -> str:
    return operate(Operation(action=action, request=request, by=order.author, where="console", command=order.id))
