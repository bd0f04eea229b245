"""What each command does: the one table from names to deeds. A further command is a further entry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from edge.operating import Operation
from edge.uplink import Uplink
from wire.alarm import ACTIONS, AlarmRequest
from wire.command import Order
from wire.mandate import HURRY, RAISE, HurryRequest, RaiseRequest

TEST_MOST_S = 30
"""So long an output may be on for a test, in seconds."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Handler(msgspec.Struct, frozen=True):
    """``act`` gets the arguments, already of their type, and the whole order, and says what was done.

    It raises OSError, ValueError or RuntimeError where that could not be done, OperationError where it is refused.
    What ``is_long`` does not keep the commands behind it waiting: somebody may acknowledge an alarm meanwhile.
    ``is_urgent``: it is carried out before it is remembered, even if it cannot be: doing it twice is as doing it once.
    """

    arguments: type[msgspec.Struct]
    act: Callable[[Any, Order], Awaitable[str]]
    is_long: bool = False
    is_urgent: bool = False


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


class Plant(Protocol):
    """What commands reach of what is acquired. Each says what was done, and raises OperationError if it is refused."""

    def operate(self, operation: Operation) -> str:
        """Do what an operator asks of an alarm."""

    def test_output(self, name: str, lasts_s: float) -> str:
        """Switch an output on for some seconds."""

    def command_alarm(self, request: RaiseRequest) -> str:
        """Raise or clear an alarm that may be commanded."""

    def hurry(self, request: HurryRequest) -> str:
        """Read groups more densely for a while."""


def make_handlers(uplink: Uplink, plant: Plant) -> Mapping[str, Handler]:
    """Make the table of what this gateway carries out."""

    async def report(_: NoArguments, _order: Order) -> str:
        uplink.ask_report()
        return "what runs is reported again"

    async def reconnect(_: NoArguments, _order: Order) -> str:
        uplink.reconnect()
        return "the connection is built again"

    async def test(arguments: OutputTest, _order: Order) -> str:
        return plant.test_output(arguments.output, arguments.seconds)

    async def command_alarm(request: RaiseRequest, _order: Order) -> str:
        return plant.command_alarm(request) + _say_why(request.why)

    async def hurry(request: HurryRequest, _order: Order) -> str:
        return plant.hurry(request) + _say_why(request.why)

    return {
        "report": Handler(NoArguments, report),
        "reconnect": Handler(NoArguments, reconnect),
        "output-test": Handler(OutputTest, test),
        RAISE: Handler(RaiseRequest, command_alarm, is_urgent=True),
        HURRY: Handler(HurryRequest, hurry),
        "log-level": Handler(LogLevelArguments, LogLevel(logging.getLogger()).act),
        **{f"alarm-{action}": Handler(AlarmRequest, partial(_operate, plant.operate, action)) for action in ACTIONS},
    }


def _say_why(why: str) -> str:
    return f" ({why})" if why else ""


async def _operate(operate: Callable[[Operation], str], action: str, request: AlarmRequest, order: Order) -> str:
    return operate(Operation(action=action, request=request, by=order.author, where="console", command=order.id))
