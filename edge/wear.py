"""How much this thread has written to disk, as the kernel counts it: flash wears by octets written, not by records."""

from __future__ import annotations

from pathlib import Path

THREAD_IO = Path("/proc/thread-self/io")


def written_bytes() -> int:
    """Octets that the calling thread made the kernel write to storage; 0 where it does not say (proc(5), write_bytes).

    Memory file systems do not count.
    """
    try:
        lines = THREAD_IO.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split(":")[1]) for line in lines if line.startswith("write_bytes:")), 0)
