"""Errors of the lab. The command line catches them and prints the sentence and the hint."""

from __future__ import annotations


class LabError(Exception):
    """Something in the district cannot go on. ``hint`` tells the person what to look at."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
