"""Errors of drivers, classed by what the caller (`edge.collect`) does about them.

DriverError
  SettingsError      stops the device, reports
  LinkError          reopens the line with backoff
    LinkTimeoutError   the same for one device only; the line stays open
  FrameError         counts and drops the frame
  DeviceError        keeps the link, marks the tags bad
"""

from __future__ import annotations


class DriverError(Exception):
    """Root of everything a driver raises. ``hint`` tells the operator what to look at."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(DriverError):
    """The configuration cannot work. Trying again will not help: the device is stopped and reported."""


class LinkError(DriverError):
    """The line to the instrument is down. The collector closes it and opens it again with backoff."""


class LinkTimeoutError(LinkError):
    """The instrument did not answer in time. Its tags go bad; others on the line are still asked."""


class FrameError(DriverError):
    """Bytes arrived that are no valid frame. The collector counts them and marks the scan bad."""


class DeviceError(DriverError):
    """The instrument answered that it cannot do this. The link is kept, the tags go bad.

    ``code`` is the number that it gave as the reason; None if it gave none.
    """

    def __init__(self, message: str, hint: str = "", code: int | None = None) -> None:
        super().__init__(message, hint)
        self.code = code
