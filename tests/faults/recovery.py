"""When a district is well again, and when all has come that is to come."""

from __future__ import annotations

import asyncio
import time

from lab.district import District
from tests.faults.scene import say
from tests.faults.verdict import is_complete

RECOVER_S = 60.0
DRAIN_S = 120.0
LOOK_S = 0.25
QUIET_S = 6.0
"""No scan that was served at the platform for so long means that nothing is under way: longer than a resend takes."""


async def recovers(district: District) -> bool:
    """Wait until scans that were served from now on have arrived from every instrument."""
    heads = [(ledger, ledger.head) for ledger in district.ledgers]
    deadline = time.monotonic() + RECOVER_S
    while any(district.newest_arrived(ledger) <= head for ledger, head in heads):
        if time.monotonic() > deadline:
            for ledger, head in heads:
                if district.newest_arrived(ledger) <= head:
                    say(f"nothing new of {ledger.name}")
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def drain(district: District) -> None:
    """Silence the instruments and wait until all that is to come has come; for no longer than `DRAIN_S`."""
    district.silence()
    deadline = time.monotonic() + DRAIN_S
    quiet_since, scans = time.monotonic(), -1
    while time.monotonic() < deadline:
        arrived = sum(arrivals.scans for arrivals in district.book.arrivals.values())  # bad ones go on for ever
        if arrived != scans:
            quiet_since, scans = time.monotonic(), arrived
        is_quiet = time.monotonic() - quiet_since > QUIET_S
        if is_quiet and not district.truth.unreported and is_complete(district.book, district.fleet.database_url):
            return
        await asyncio.sleep(LOOK_S)
