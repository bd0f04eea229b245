"""How good the times of samples are: who holds this machine's clock, and how far it may be off.

The kernel says whether its clock is held, by adjtimex(2); chrony, where it runs, by whom and how well. Times are
locked when a reference on site holds the clock, a GNSS receiver, its pulses (PPS) or PTP, within `LOCKED_S`. NTP over a
network that nobody measured is a fallback, and marked as one: a way that is longer there than back shows in no figure
of it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from edge.clock import STA_PPSSIGNAL, STA_PPSTIME, Kernel, SystemClock, is_held, read_kernel
from seismic.packet import TimeQuality
from wire.record import WaveFlag

log = logging.getLogger(__name__)

LOCKED_S = 0.001
NTP_LEAST_S = 0.01
"""What the times of NTP alone may be off at least, whatever it says of itself: systemd-timesyncd says 0."""

LOOK_S = 30.0
CHRONYC = ("chronyc", "-c", "tracking")
CHRONYC_S = 5.0
CHRONYC_FIELDS = 14


class Source(StrEnum):
    """Who holds the clock."""

    PPS = "pps"
    GNSS = "gnss"
    PTP = "ptp"
    NTP = "ntp"
    NONE = "none"


ON_SITE = frozenset({Source.PPS, Source.GNSS, Source.PTP})
NAMES: tuple[tuple[str, Source], ...] = (("PPS", Source.PPS), ("PTP", Source.PTP), ("PHC", Source.PTP))
"""How reference clocks that are no receivers are called in chrony's configuration: by how their names begin."""


class Tracking(msgspec.Struct, frozen=True):
    """What chrony says: who holds the clock, and by how many seconds it is off at most."""

    source: Source
    error_s: float


def parse_tracking(text: str) -> Tracking | None:
    """Read the answer of ``chronyc -c tracking``; None if it is none.

    Its fields: reference id, name, stratum, time, offset, last offset, RMS offset, frequency, residual, skew, root
    delay, root dispersion, interval, leap status. The error is at most offset + dispersion + half the delay
    (chronyc(1)). A stratum of 1 means that the reference is a clock at this machine.
    """
    fields = text.strip().split(",")
    if len(fields) != CHRONYC_FIELDS:
        return None
    name, leap = fields[1], fields[-1]
    try:
        stratum, offset_s, delay_s, dispersion_s = int(fields[2]), *(float(fields[at]) for at in (4, 10, 11))
    except ValueError:
        return None
    error_s = abs(offset_s) + dispersion_s + delay_s / 2
    if leap == "Not synchronised" or stratum == 0 or not math.isfinite(error_s):
        return Tracking(Source.NONE, math.inf)
    return Tracking(_source(name) if stratum == 1 else Source.NTP, error_s)


def judge(kernel: Kernel, tracking: Tracking | None, quality: str, offset_ns: int | None) -> TimeQuality:
    """Say how good the times are. ``quality`` and ``offset_ns`` are of `wire.conversation.Clock`."""
    source, error_s = _holder(kernel, tracking) if quality == "synced" else (Source.NONE, math.inf)
    is_locked = source in ON_SITE and error_s <= LOCKED_S
    flag = WaveFlag.CLOCK_LOCKED if is_locked else WaveFlag.TIME_QUESTIONABLE
    return TimeQuality(offset_ns, -1 if offset_ns is None else percent(error_s), int(flag))


def percent(error_s: float) -> int:
    """Put an error as miniSEED's 0 to 100 %: 100 up to a microsecond, 10 less for each power of ten: 70 at 1 ms.

    SEED leaves the scale to the vendor (SEED 2.4, blockette 1001).
    """
    if not math.isfinite(error_s):
        return 0
    return round(min(max(100 - 10 * math.log10(max(error_s, 1e-6) * 1e6), 0), 100))


def _source(name: str) -> Source:
    return next((source for start, source in NAMES if name.upper().startswith(start)), Source.GNSS)


def _holder(kernel: Kernel, tracking: Tracking | None) -> tuple[Source, float]:
    """Tell who holds the clock and how far it is off, from what chrony or else the kernel says."""
    if not is_held(kernel.answer, kernel.status):
        return Source.NONE, math.inf
    if tracking is not None:
        floor_s = 0.0 if tracking.source in ON_SITE else NTP_LEAST_S
        return tracking.source, max(tracking.error_s, floor_s)
    if kernel.status & STA_PPSTIME and kernel.status & STA_PPSSIGNAL:
        return Source.PPS, kernel.estimated_error_us / 1e6
    return Source.NTP, max(kernel.max_error_us / 1e6, NTP_LEAST_S)


async def ask_chrony() -> str:
    """Run ``chronyc -c tracking``; empty if there is no chrony or it does not answer."""
    try:
        process = await asyncio.create_subprocess_exec(*CHRONYC, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    except OSError:
        return ""
    try:
        async with asyncio.timeout(CHRONYC_S):
            octets, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return octets.decode("ascii", "replace") if process.returncode == 0 else ""


class Timekeeper:
    """Says how good the times are now. Run `watch_forever` as a task; without it the kernel alone is believed."""

    def __init__(
        self,
        clock: SystemClock,
        kernel: Callable[[], Kernel] = read_kernel,
        ask: Callable[[], Awaitable[str]] = ask_chrony,
    ) -> None:
        self._clock = clock
        self._kernel = kernel
        self._ask = ask
        self._tracking: Tracking | None = None
        self._source: Source | None = None

    def quality(self) -> TimeQuality:
        """How the clock stands: two system calls, to be asked about once a second."""
        state = self._clock.state()
        return judge(self._kernel(), self._tracking, state.quality, state.offset_ns)

    @property
    def source(self) -> Source:
        """Who holds the clock, as far as can be told."""
        state = self._clock.state()
        return _holder(self._kernel(), self._tracking)[0] if state.quality == "synced" else Source.NONE

    async def watch_forever(self) -> None:
        """Ask chrony now and then."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask chrony, and log when another source holds the clock."""
        self._tracking = parse_tracking(await self._ask())
        if self.source != self._source:
            self._source = self.source
            log.info("clock: held by %s, times are %d %%", self._source, self.quality().timing)
