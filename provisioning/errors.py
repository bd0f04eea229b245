"""Errors of identity, classed by who caused them."""

from __future__ import annotations


class ProvisioningError(Exception):
    """Root of what this package raises. ``hint`` tells people what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RequestError(ProvisioningError):
    """What somebody sent is refused. ``name`` is the word by which the answer names the reason.

    The enrolment endpoint answers with it; the gateway shows it and what to do.
    """

    def __init__(self, name: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.name = name


class AuthorityError(ProvisioningError):
    """The authority cannot do this with what it has: a key, a certificate or a chain is wrong. An operator mends it."""


class KeyFileError(ProvisioningError):
    """A file of an identity cannot be read or written. Nothing half-written stays in its place."""
