"""A metered link: what may go now, and when only alarms may. Pure: time is handed in, as seconds of a monotonic clock.

A token bucket holds what may be sent at once, and fills at the rate of the day's budget. It starts empty, so that
restarts make no octets. Lane A, and what it needs to go (connecting, hello, being alive), takes what it wants and may
leave the bucket in debt, at most as deep as the bucket is high; what goes beyond is only counted. Everything else
waits until there is enough. A message larger than the bucket goes once that is full.

Only alarms go from when the bucket is empty until it is a quarter full, and while the link's measured rate is too low.
Then one batch of measurements a minute shows whether the link is better.
"""

from __future__ import annotations

from enum import Enum

DAY_S = 86_400
EMPTY_BYTES = 1024
"""With less than this in the bucket it counts as empty: a batch has its own overhead."""
FULL_ENOUGH = 0.25
"""Alarms-only for want of budget ends at this part of a full bucket."""
FAST_ENOUGH = 1.5
"""Alarms-only for want of rate ends at this many times the rate at which it begins."""
SHOWN_PART = 0.5
"""Live values and health go only while this part of the bucket is left: they are shed first."""
PROBE_S = 60.0
UNLIMITED_BYTES = 2**31

IP_TCP_OCTETS = 52
"""IPv4 and TCP with time stamps, without what lies below: a packet with nothing in it."""
SEGMENT_OCTETS = 1400
MQTT_OCTETS = 9
"""Type, a length of up to four octets, the topic's length, the packet's number."""
TLS_RECORD_OCTETS = 22
TLS_RECORD_HOLDS = 16_384
CONNECT_OCTETS, CONNECT_TLS_OCTETS = 600, 2_400
"""Sent to connect and subscribe: handshakes, names, a token; not measured for every TLS library."""


class Traffic(Enum):
    """What competes for a metered link, the most urgent first."""

    ALARMS = "alarms"
    RECORDS = "records"
    SHOWN = "shown"


class Bucket:
    """A token bucket in octets that may be left in debt."""

    def __init__(self, bytes_per_s: float, burst_bytes: int, now: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._at = now
        self.burst_bytes = burst_bytes
        self.level = 0.0
        self.overdrawn_bytes = 0

    def fill(self, now: float) -> None:
        """Let time pass. It never goes back."""
        self.level = min(self.burst_bytes, self.level + max(0.0, now - self._at) * self._bytes_per_s)
        self._at = max(self._at, now)

    def has(self, octets: int) -> bool:
        """Whether that much is there; of what is larger than the bucket, whether it is full."""
        return self.level >= min(octets, self.burst_bytes)

    def spend(self, octets: int) -> None:
        """Take what was found to be there."""
        self.level -= octets

    def overdraw(self, octets: int) -> None:
        """Take that much whether it is there or not."""
        self.overdrawn_bytes += max(0, octets - max(0, int(self.level)))
        self.level = max(self.level - octets, min(self.level, -float(self.burst_bytes)))


class Meter:
    """Decides what may go. Without a budget and a least rate everything may, and octets are only counted."""

    def __init__(
        self, *, budget_bytes_per_day: int, burst_bytes: int, alarms_only_below_bytes_per_s: int, now: float
    ) -> None:
        self.bucket = Bucket(budget_bytes_per_day / DAY_S, burst_bytes, now) if budget_bytes_per_day else None
        self._least_rate = alarms_only_below_bytes_per_s
        self._is_empty = self.bucket is not None
        self._is_slow = False
        self._probe_at = now
        self.sent_bytes = 0

    @property
    def alarms_only(self) -> str:
        """Why only lane A goes: ``budget``, ``rate``, or empty when all may."""
        return "budget" if self._is_empty else "rate" if self._is_slow else ""

    def update(self, now: float, rate: float | None) -> bool:
        """Let time pass, with the link's rate in octets per second as last measured, if it was.

        Returns whether alarms-only began or ended.
        """
        before = self.alarms_only
        if self.bucket is not None:
            self.bucket.fill(now)
            enough = self.bucket.burst_bytes * FULL_ENOUGH if self._is_empty else EMPTY_BYTES
            self._is_empty = self.bucket.level < enough
        if rate is not None:
            self._is_slow = rate < self._least_rate * (FAST_ENOUGH if self._is_slow else 1.0)
        if self.alarms_only and not before:
            self._probe_at = now + PROBE_S
        return bool(self.alarms_only) != bool(before)

    def allowance(self, now: float, least_bytes: int = 0) -> int:
        """Octets that measurements may take now, 0 for none, or if they do not do for a message of ``least_bytes``."""
        if self._is_empty or (self._is_slow and now < self._probe_at):
            return 0
        if self.bucket is None:
            return UNLIMITED_BYTES
        return max(0, int(self.bucket.level)) if self.bucket.has(least_bytes) else 0

    def take(self, octets: int, traffic: Traffic, now: float) -> bool:
        """Tell whether a message of so many octets may go now, and count it if so. Lane A always may."""
        if traffic is not Traffic.ALARMS and not self._may_go(octets, traffic, now):
            return False
        if self._is_slow and traffic is Traffic.RECORDS:
            self._probe_at = now + PROBE_S
        self.sent_bytes += octets
        if self.bucket is not None and traffic is Traffic.ALARMS:
            self.bucket.overdraw(octets)
        elif self.bucket is not None:
            self.bucket.spend(octets)
        return True

    def _may_go(self, octets: int, traffic: Traffic, now: float) -> bool:
        if traffic is Traffic.SHOWN and self.alarms_only:
            return False
        if self.allowance(now) <= 0:
            return False
        if self.bucket is None:
            return True
        kept = self.bucket.burst_bytes * SHOWN_PART if traffic is Traffic.SHOWN else 0.0
        return self.bucket.has(octets + int(kept))


def octets_of_message(payload: int, topic: int, *, is_tls: bool) -> int:
    """Estimate what the link carries for an MQTT message: headers, records of TLS, packets, and the packet that
    confirms its PUBACK. What is lost on the way and sent again by TCP is not in it."""
    octets = MQTT_OCTETS + topic + payload
    if is_tls:
        octets += -(-octets // TLS_RECORD_HOLDS) * TLS_RECORD_OCTETS
    return octets + (-(-octets // SEGMENT_OCTETS) + 1) * IP_TCP_OCTETS


def octets_to_connect(*, is_tls: bool) -> int:
    """Estimate what is sent to connect and subscribe."""
    return CONNECT_OCTETS + (CONNECT_TLS_OCTETS if is_tls else 0)


def octets_of_answer(*, is_tls: bool) -> int:
    """Estimate what is sent for a message received, or to stay connected: a small MQTT packet and a bare one of TCP."""
    return 2 * IP_TCP_OCTETS + 4 + (TLS_RECORD_OCTETS if is_tls else 0)
