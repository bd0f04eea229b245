"""What can be wrong with waveforms, recordings and what is asked of them."""

from __future__ import annotations


class SeismicError(Exception):
    """Root of all. The caller refuses what it came from, says so and goes on; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
