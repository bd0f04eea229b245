"""Errors of the fleet manager, classed by what the caller does about them.

FleetError
  NotFoundError      404: the thing asked for does not exist, or not for this account
  ConflictError      409: somebody else was first; read again and decide anew
  DeniedError        403: the account may not do that
  InvalidError       422: the request can never work as it stands
  SetupError         the command line prints it with its hint and ends with a non-zero status

One HTTP mapper (`fleet.api.errors`) turns the first four into answers; views raise nothing else.
"""

from __future__ import annotations


class FleetError(Exception):
    """Root of everything the fleet manager raises. ``hint`` tells the operator what to do."""

    status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotFoundError(FleetError):
    """There is no such thing. The HTTP mapper answers 404."""

    status = 404


class ConflictError(FleetError):
    """The state changed under the caller. The HTTP mapper answers 409; the caller reads again."""

    status = 409


class DeniedError(FleetError):
    """The account may not do this. The HTTP mapper answers 403."""

    status = 403


class InvalidError(FleetError):
    """The request cannot be carried out as written. The HTTP mapper answers 422."""

    status = 422


class SetupError(FleetError):
    """A program cannot start. The command line prints the sentence and the hint, and ends with status 1."""
