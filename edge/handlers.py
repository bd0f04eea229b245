"""What each command does: the one table from names to deeds. A further command is a further entry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.uplink import Uplink

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Handler(msgspec.Struct, frozen=True):
    """``act`` gets the arguments, already of their type, and says what was done.

    It raises OSError, ValueError or RuntimeError where that could not be done.
    """

    arguments: type[msgspec.Struct]
    act: Callable[[Any], Awaitable[str]]


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

    async def act(self, arguments: LogLevelArguments) -> str:
        """Log more or less for some minutes."""
        if self._back is not None:
            self._back.cancel()
        self._logger.setLevel(LEVELS[arguments.level])
        loop = asyncio.get_running_loop()
        self._back = loop.call_later(arguments.minutes * 60, self._logger.setLevel, self._usual)
        return f"logging at {arguments.level} for {arguments.minutes:g} min"


def make_handlers(uplink: Uplink) -> Mapping[str, Handler]:
    """Make the table of what this gateway carries out."""

    async def report(_: NoArguments) -> str:
        uplink.ask_report()
        return "what runs is reported again"

    async def reconnect(_: NoArguments) -> str:
        uplink.reconnect()
        return "the connection is built again"

    return {
        "report": Handler(NoArguments, report),
        "reconnect": Handler(NoArguments, reconnect),
        "log-level": Handler(LogLevelArguments, LogLevel(logging.getLogger()).act),
    }
