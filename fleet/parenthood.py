"""End with the parent: a child must not outlive the process that looks after it."""

from __future__ import annotations

import ctypes
import os
import signal

from fleet.errors import SetupError

PR_SET_PDEATHSIG = 1


def follow(parent: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent dies, however it dies. Raises SetupError if it is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        raise SetupError("the supervising process is gone")
