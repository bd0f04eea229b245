"""How much work a message asks for, counted on what it decodes to: a few octets can unpack to a great deal. Pure."""

from __future__ import annotations

import msgspec

from wire.conversation import BATCH_ITEMS_MOST, Batch, Hello
from wire.twin import Reported

TAGS_MOST = 20_000
"""Most tags that one gateway may describe."""
TOLD_MOST = 100_000
"""Most sums of a tag in a minute that one tombstone may tell."""


class Burden(msgspec.Struct, frozen=True):
    """What committing a message takes: rows to handle, and the octets that they are read from."""

    rows: int
    octets: int


def weigh(body: object, payload: bytes) -> Burden:
    """Weigh a message. ``body`` is what it decoded to, None if it could not be decoded."""
    if isinstance(body, Batch):
        rows = 1 + len(body.items) + _count_columns(body) + _count_told(body)
        return Burden(rows, len(payload) + sum(map(len, body.items)))
    if isinstance(body, Reported):
        return Burden(1 + len(body.tags), len(payload))
    if isinstance(body, Hello):
        return Burden(1 + len(body.epochs), len(payload))
    return Burden(1, len(payload))


def find_excess(body: object) -> str:
    """Say why a message asks for more than a gateway in order ever does; "" if it does not."""
    if isinstance(body, Batch):
        if len(body.items) > BATCH_ITEMS_MOST:
            return f"batch of {len(body.items)} items, the most is {BATCH_ITEMS_MOST}"
        if body.tombstone is not None and (body.items or body.tombstone.last < body.first):
            return "batch with a tombstone has items, or its tombstone ends before it begins"
        minutes = len(body.tombstone.minutes) if body.tombstone is not None else 0
        if len(body.layouts) > BATCH_ITEMS_MOST + minutes:  # not the items here: a part of a row brings all of its own
            return f"batch with {len(body.layouts)} layouts, the most is {BATCH_ITEMS_MOST + minutes}"
        if _count_told(body) > TOLD_MOST:
            return f"tombstone tells {_count_told(body)} sums, the most is {TOLD_MOST}"
        if _count_columns(body) > TAGS_MOST:
            return f"layouts of {_count_columns(body)} tags, the most is {TAGS_MOST}"
    if isinstance(body, Reported) and len(body.tags) > TAGS_MOST:
        return f"{len(body.tags)} tags, the most is {TAGS_MOST}"
    return ""


def _count_told(batch: Batch) -> int:
    return sum(len(minute.counts) for minute in batch.tombstone.minutes) if batch.tombstone is not None else 0


def _count_columns(batch: Batch) -> int:
    return sum(len(layout.tags) for layout in batch.layouts.values())
