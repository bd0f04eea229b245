"""How an update ends early. Each says what, and what to do."""

from __future__ import annotations

from edge.errors import EdgeError


class RefusedError(EdgeError):
    """A release must not run here: its signatures, its hardware or its version are not what they must be."""


class RolledBackError(EdgeError):
    """A release was tried and taken back: it speaks against the release."""


class CalledOffError(EdgeError):
    """The fleet has called the action off."""
