"""Reads a device once more, between the polls of its bus.

The rule: acquisition goes first. A read owns the line for one group at a time, in turn with the polls, so that a poll
waits for one exchange at most; it asks nobody that polls leave alone for not answering, and opens no line that is down.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from drivers.base import Group, Scan
from drivers.errors import DriverError
from edge.line import Line
from edge.operating import OperationError
from wire.sample import quality_class

GROUPS_MOST = 16
READ_MOST_S = 15.0
"""No further group is asked after this time."""


class TagRead(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a tag; ``error`` says why there is no value."""

    tag: str
    value: Any = None
    quality: str = "bad"
    code: int = 0
    error: str = ""


async def read_device(line: Line, device: str) -> list[TagRead]:
    """Read the groups of a device. Raises OperationError if that would disturb, or cannot be."""
    if line.is_streaming:
        raise OperationError(f"'{device}' speaks by itself and cannot be asked", hint="look at its newest values")
    if not line.is_up:
        fault = line.fault or "it is not open yet"
        raise OperationError(f"bus '{line.name}' is down: {fault}", hint="see to the line first")
    if device in line.silence.bad_devices:
        raise OperationError(f"'{device}' does not answer its polls", hint="its faults are in the log")
    groups = [one.group for one in line.bus.groups if one.group.device_name == device]
    began, found = time.monotonic(), list[TagRead]()
    for group in groups[:GROUPS_MOST]:
        if not line.is_up or time.monotonic() - began > READ_MOST_S:
            break
        found += await _read_group(line, group)
    return found


async def _read_group(line: Line, group: Group) -> list[TagRead]:
    try:
        scan: Scan = await line.read(group)
    except DriverError as error:
        return [TagRead(tag=tag, error=str(error)) for tag in group.tags]
    return [
        TagRead(tag=tag, value=value, quality=quality_class(quality), code=int(quality))
        for tag, value, quality in zip(group.tags, scan.values, scan.quality, strict=True)
    ]
