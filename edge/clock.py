"""Time on a gateway: the boot's monotonic clock, UTC when it is known, and how well it is known."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from wire import conversation

SET_FLOOR_NS = 1_735_689_600_000_000_000
"""2025-01-01: a machine whose clock shows less has never been told the time."""

STA_UNSYNC = 0x0040
"""adjtimex(2) status bit: no time source holds the kernel's clock."""

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


STA_PPSTIME, STA_PPSSIGNAL = 0x0004, 0x0100
"""adjtimex(2) status bits: the kernel's clock follows the pulses of a PPS source; pulses come."""


class Kernel(msgspec.Struct, frozen=True):
    """What adjtimex(2) says of the kernel's clock: its answer, its status bits and the errors in microseconds."""

    answer: int
    status: int
    max_error_us: int = 0
    estimated_error_us: int = 0


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2) on Linux, as far as its status word; the rest is padding."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def is_held(answer: int, status: int) -> bool:
    """Tell from what adjtimex(2) returned, and its status word, whether a time source holds the clock.

    The answers of a leap second (1 to 4) are as good as any; 5 and -1 are errors. The status says the rest.
    """
    return answer >= 0 and not status & STA_UNSYNC


def read_kernel() -> Kernel:
    """Ask the kernel how its clock stands."""
    timex = _Timex()
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    return Kernel(answer, timex.status, timex.maxerror, timex.esterror)


def is_kernel_synced() -> bool:
    """Ask the kernel whether a time source (chrony, ntpd, systemd-timesyncd) holds its clock."""
    kernel = read_kernel()
    return is_held(kernel.answer, kernel.status)


class SystemClock:
    """The machine's clocks. Tests use their own class of the same shape."""

    def __init__(
        self,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        is_synced: Callable[[], bool] = is_kernel_synced,
    ) -> None:
        self.mono_ns = mono_ns
        self._wall_ns = wall_ns
        self._is_synced = is_synced
        self._known_ns: int | None = None
        self._told_ns: int | None = None
        self.boot = BOOT_ID_FILE.read_text("ascii").strip() if BOOT_ID_FILE.exists() else "unknown"

    def state(self) -> conversation.Clock:
        """Relate this boot's monotonic clock to UTC, and say how far to trust it."""
        if self._look():
            quality = "synced" if self._is_synced() else "holdover"
            return conversation.Clock(offset_ns=self._known_ns, quality=quality)
        if self._known_ns is not None:
            return conversation.Clock(offset_ns=self._known_ns, quality="holdover")
        return conversation.Clock(offset_ns=self._told_ns, quality="unset" if self._told_ns is None else "told")

    def wall_at(self, mono_ns: int) -> int | None:
        """Give the UTC in ns of a monotonic instant, or None while nothing and nobody has told it."""
        self._look()
        offset_ns = self._told_ns if self._known_ns is None else self._known_ns
        return None if offset_ns is None else offset_ns + mono_ns

    def newest_at(self, mono_ns: int) -> int:
        """Give the newest UTC in ns that the machine or the fleet tells of a monotonic instant; 0 if none does."""
        self._look()
        return mono_ns + max(
            (offset for offset in (self._known_ns, self._told_ns) if offset is not None), default=-mono_ns
        )

    def tell(self, wall_ns: int) -> None:
        """Take the fleet's UTC, late by its time on the way, for as long as this machine has known none of its own."""
        if wall_ns >= SET_FLOOR_NS:
            self._told_ns = wall_ns - self.mono_ns()

    def _look(self) -> bool:
        """Look at the machine's clock. False if it shows no time: what it showed before then goes on counting."""
        wall_ns = self._wall_ns()
        if wall_ns < SET_FLOOR_NS:
            return False
        self._known_ns = wall_ns - self.mono_ns()
        return True
