"""Errors of the wire format. Ingest and uplink catch them: the message is rejected and counted, the task goes on."""

from __future__ import annotations


class WireError(ValueError):
    """A message cannot be used. The receiver rejects it, counts it and keeps what it was."""


class DecodeError(WireError):
    """The bytes are not what the topic promises: truncated, corrupt, of the wrong type or too large."""


class VersionError(WireError):
    """The sender speaks a major version that this release does not know."""
