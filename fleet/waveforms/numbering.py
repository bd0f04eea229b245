"""Numbers of packets: unique and rising for ever, one for each miniSEED record that a packet may become. Pure.

All stations share one row of numbers, so that a client who follows many stations can go on from one number. A packet
owns as many as it fills records of 512 octets at worst, which follows from how many samples it has and from nothing
else: no other release, encoder or restart numbers it otherwise. Numbers that no record needs are left out.

SeedLink 3 has 24 bits, which the lowest bits of a number are.
"""

from __future__ import annotations

from collections.abc import Sequence

RECORD_SAMPLES_LEAST = 58
"""Samples that a full record of 512 octets holds at least. With all that may be said of a packet the head of miniSEED 3
leaves room for 4 frames of 64 octets, that of miniSEED 2 for 6. A frame has 15 words for samples, the first of them two
less, and Steim 2 puts one sample into a word at worst (SEED manual 2.4, appendix B)."""
SHORT_BITS = 24
SHORT = 1 << SHORT_BITS
RESTORED = (1 << 40) + SHORT // 2
"""By so much the next number is raised in a restored database: more than were given out since its backup. Its lowest
bits move by half of what 24 bits tell apart, so that SeedLink 3 finds its place as well."""


def count_numbers(samples: int) -> int:
    """Return how many numbers a packet of so many samples owns."""
    return -(-samples // RECORD_SAMPLES_LEAST)


def number_records(seq: int, numbers: int, records: int) -> Sequence[int]:
    """Number the records that a packet became. The last has the packet's last number, in every format.

    Whoever has it in one format and goes on in another gets nothing of the packet again, and whoever has a part of it
    gets no less than the rest.
    """
    return [*range(seq, seq + records - 1), seq + numbers - 1]


def widen(short: int, next_seq: int) -> int:
    """Return the newest number up to ``next_seq`` whose lowest 24 bits are these; 0 if there was none yet."""
    return max(next_seq - (next_seq - short) % SHORT, 0)
