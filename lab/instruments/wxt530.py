"""A Vaisala WXT530 that is polled in ASCII, with CRC or without."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.sdi12 import crc_text
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger, wire_counter

COMMAND_OCTETS_MAX = 32

MESSAGES: dict[str, tuple[tuple[str, str, Swing], ...]] = {
    "1": (
        ("Dm", "03.0f D", Swing(base=214.0, swing=12.0, period_s=240.0, noise=2.0)),
        ("Sm", ".1f M", Swing(base=4.2, swing=1.6, period_s=90.0, noise=0.2)),
        ("Sx", ".1f M", Swing(base=7.4, swing=1.6, period_s=90.0, noise=0.2)),
    ),
    "2": (
        ("Ta", ".1f C", Swing(base=17.6, swing=0.7, period_s=1800.0, noise=0.05)),
        ("Ua", ".1f P", Swing(base=78.0, swing=4.0, period_s=1500.0, noise=0.2)),
        ("Pa", ".1f H", Swing(base=982.4, swing=0.6, period_s=2400.0, noise=0.02)),
    ),
    "3": (("Rc", ".2f M", Swing(base=3.2, growth=0.0002)), ("Ri", ".1f M", Swing(base=0.72))),
    "5": (
        ("Th", ".1f C", Swing(base=18.0)),
        ("Vh", ".1f N", Swing(base=12.0)),
        ("Vs", ".1f V", Swing(base=24.1, swing=0.4, period_s=60.0, noise=0.02)),
    ),
}
"""By message: name, format and unit, and what the value does."""

COUNTERS = {"1": "Sn={}.0M", "2": "Tp={}.0C", "3": "Rd={}s", "5": "Vr={}.0V"}
"""By message: the parameter that carries the counter of its scans, which is none that a site would miss."""


class WxtTransmitter:
    """Answers the data queries of one address. ``ledgers``, by message, count those that are served, each its own."""

    def __init__(
        self,
        line: PtyLine,
        device: str,
        ledgers: Mapping[str, Ledger],
        observe: Observe,
        address: str = "0",
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._line = line
        self._device = device
        self._ledgers = ledgers
        self._observe = observe
        self._address = address
        self._clock = clock
        self._values = {
            message: [(name, form.split(), Signal(swing, self._device + name)) for name, form, swing in rows]
            for message, rows in MESSAGES.items()
        }
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Answer until cancelled."""
        rest = b""
        async for octets in self._line.received():
            *commands, rest = (rest + octets).split(b"\n")
            rest = rest[-COMMAND_OCTETS_MAX:]
            for command in commands:
                self._obey(command.decode("latin-1").strip())

    def _obey(self, command: str) -> None:
        if not command.startswith(self._address) or not self.is_powered:
            return
        order, has_crc = command[1:], command[1:2].islower()
        if has_crc:
            command, stated = command[:-3], command[-3:]
            if crc_text(command) != stated:
                self._say(f"{self._address}tX,Use chksum {crc_text(command)}", crc=True)
                return
            order = command[1:].upper()
        if order == "":
            self._say(self._address, crc=False)
        elif order == "XU":
            self._say(f"{command},A={self._address},M=P,C=3,B=19200,D=8,P=N,S=1,L=25,N=WXT530,V=1.00", crc=has_crc)
        elif order[:1] == "R" and (order[1:] in MESSAGES or order[1:] == "0"):
            self._report(command, order[1:], crc=has_crc)
        else:
            self._say(f"{self._address}{'t' if has_crc else 'T'}X,Unknown cmd error", crc=has_crc)

    def _report(self, head: str, message: str, *, crc: bool) -> None:
        at_ns = self._clock()
        messages = MESSAGES if message == "0" else (message,)
        fields, observed = [head], []
        for name, (form, unit), signal in (row for each in messages for row in self._values[each]):
            text = format(max(0.0, signal.value(at_ns)), form)
            fields.append(f"{name}={text}{unit}")
            observed.append((f"{self._device}.{name.lower()}", float(text)))
        counted = [(each, self._ledgers[each].number_next()) for each in messages if each in self._ledgers]
        fields += [COUNTERS[each].format(wire_counter(number)) for each, number in counted]
        if not self._say(",".join(fields), crc=crc):
            for each, number in counted:
                self._ledgers[each].withdraw(number)
            return
        for tag, value in observed:
            self._observe(tag, value, at_ns)

    def _say(self, text: str, *, crc: bool) -> bool:
        return self._line.write(f"{text}{crc_text(text) if crc else ''}\r\n".encode("ascii"))
