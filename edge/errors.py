"""Errors of the agent, classed by what the caller does about them."""

from __future__ import annotations


class EdgeError(Exception):
    """Root of the agent's own errors. The command line prints the message and the hint, never a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(EdgeError):
    """The configuration cannot be run. The command line lists the mistakes; the twin refuses the version."""


class SpoolError(EdgeError):
    """The spool could not take or give records. The writer keeps what it has in memory and tries again."""


class SpoolFullError(SpoolError):
    """No room under the quota or on the disk. The writer declares what it cannot keep."""


class SpoolCorruptError(SpoolError):
    """The file is not a spool. It is moved aside, never deleted, and a new one is begun."""


class DocumentError(EdgeError):
    """The file of the twin or of the commands cannot be read or written. The agent keeps running what it runs."""


class UplinkError(EdgeError):
    """The fleet cannot be talked to now."""


class NotConnectedError(UplinkError):
    """No connection to the broker. The uplink waits and connects again with backoff."""
