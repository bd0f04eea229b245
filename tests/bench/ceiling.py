"""How many descriptors a program of the bench may have."""

from __future__ import annotations

import resource


def raise_ceiling() -> None:
    """Allow this process, and those it starts, as many open files as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
