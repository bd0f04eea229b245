"""One request at a time on one line: its silences, its time-outs, and replies that come too late.

An RTU or ASCII reply says which unit and function it is from and how long it is, but not which request it answers. So
after a time-out, for as long as the reply may still come (``late_max_s``), that unit is asked nothing whose reply would
look the same: another length is asked instead (`drivers.modbus.plan.otherwise`), and a unit that cannot be asked
otherwise is left alone until then. This needs neither a certain order of replies nor that each comes once. A write may
be repeated at once, for what it set is read back, and the reading back is under the same rule.

Not to be told apart are: a reply later than ``late_max_s``; and a second copy of a reply that was in time, if it comes
after the same unit was asked something of the same length. What comes before that is thrown away, and the line must be
silent for 3.5 characters before it is asked again. Modbus TCP numbers its requests, so that none of this concerns it;
a gateway that mixes up the replies of the serial line behind it does so unseen.
"""

from __future__ import annotations

import asyncio

from drivers.base import Clock
from drivers.errors import FrameError, LinkTimeoutError
from drivers.modbus.frame import Framing
from drivers.modbus.model import Device
from drivers.modbus.request import EXCEPTION, Request, check_exception
from drivers.transport import Transport

NUMBERS = 65_535
HEARD_OCTETS = 16
"""How much of what was no answer an error shows."""

MILLISECOND_NS = 1_000_000
SHORT_S = 0.0004

SILENCES_MOST = 64
"""How often the line is waited for before it counts as one that never falls silent: longer than the longest frame."""


class Exchange:
    """The one owner of a line. Times are monotonic ns by ``clock``; ``silence_ns`` is kept before each request."""

    def __init__(
        self, line: Transport, framing: Framing, *, timeout_s: float, late_max_s: float, silence_ns: int, clock: Clock
    ) -> None:
        self._line = line
        self._framing = framing
        self._timeout_s = timeout_s
        self._late_ns = int((timeout_s + late_max_s) * 1e9)
        self._silence_ns = silence_ns
        self._clock = clock
        self._lock = asyncio.Lock()
        self._buffer = bytearray()
        self._heard = bytearray()
        self._number = 0
        self._opened_ns = 0
        self._quiet_since_ns = 0
        self._owed: dict[int, dict[bytes, int]] = {}

    async def open(self) -> None:
        """Open the line. Replies still owed stay noted: the line may carry them after it is opened again."""
        await self._line.open()
        self._buffer.clear()
        self._number = 0
        self._opened_ns = self._clock()

    async def close(self) -> None:
        """Close the line; whoever waits for a reply gets LinkError."""
        await self._line.close()

    def owes(self, request: Request) -> bool:
        """Tell whether a reply may still come that would look like the answer to this request."""
        owed = self._owed.get(request.unit)
        if not owed:
            return False
        now = self._clock()
        for begins in [begins for begins, until in owed.items() if until <= now]:
            del owed[begins]
        return request.begins in owed and not request.is_echoed

    async def ask(self, request: Request, device: Device) -> bytes:
        """Exchange one request for the PDU of its answer. Raises what `drivers.base.Polled.read` raises."""
        async with self._lock:
            if self.owes(request):
                raise LinkTimeoutError(
                    f"unit {request.unit} may still answer an earlier request and is left alone until it cannot"
                )
            await self._keep_silence(device)
            self._number = self._number % NUMBERS + 1
            self._owe(request)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._line.write(self._framing.encode(request, self._number))
                    pdu = await self._receive(request)
            except TimeoutError as error:
                raise self._unanswered(request) from error
            finally:
                self._quiet_since_ns = self._clock()
            self._settle(request, pdu)
        check_exception(request, pdu)
        return pdu

    async def _receive(self, request: Request) -> bytes:
        self._heard.clear()
        while True:
            data = await self._line.read()
            self._buffer += data
            pdu = self._framing.decode(self._buffer, request, self._number)
            if pdu is not None:
                return pdu
            self._heard += data[: HEARD_OCTETS - len(self._heard)]

    def _owe(self, request: Request) -> None:
        """Take note that a reply may come from now on."""
        if not self._framing.resynchronises:
            self._owed.setdefault(request.unit, {})[request.begins] = self._clock() + self._late_ns

    def _settle(self, request: Request, pdu: bytes) -> None:
        """Take note that it has come. An exception settles nothing while another is owed, whose answer it may be."""
        if self._framing.resynchronises:
            return
        owed = self._owed[request.unit]
        if not pdu[0] & EXCEPTION or len(owed) == 1:
            owed.pop(request.begins, None)

    def _unanswered(self, request: Request) -> LinkTimeoutError | FrameError:
        if self._heard and not self._framing.resynchronises:
            return FrameError(
                f"unit {request.unit}: what arrived is no answer: {self._heard.hex(' ')}",
                hint="check baud, parity, the two wires and the terminator; a late answer asks for a longer timeout_s",
            )
        return LinkTimeoutError(
            f"unit {request.unit} did not answer within {self._timeout_s:g} s",
            hint="check its address, its power and timeout_s",
        )

    async def _keep_silence(self, device: Device) -> None:
        """Wait until the instrument may be asked, and throw away what comes meanwhile unless its number tells."""
        silence_ns = max(self._silence_ns, int(device.gap_ms * 1e6))
        ready_ns = max(self._quiet_since_ns + silence_ns, self._opened_ns + int(device.connect_pause_ms * 1e6))
        await self._wait_until(ready_ns)
        if self._framing.resynchronises:
            return
        self._buffer.clear()
        for _ in range(SILENCES_MOST):
            if not self._line.discard():
                return
            await self._wait_until(self._clock() + silence_ns)
        raise FrameError("the line never falls silent", hint="is another master on it, or one wire broken?")

    async def _wait_until(self, ready_ns: int) -> None:
        """Wait to a fraction of a millisecond, which at 115200 baud is a tenth of the silence.

        Timers count whole milliseconds and may end up to one early or late; uvloop takes half of one for none, and
        comes back at once.
        """
        while (wait_ns := ready_ns - self._clock()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(wait_ns // MILLISECOND_NS / 1e3 or min(wait_ns / 1e9, SHORT_S))
