"""What ingest did, as numbers that can be added up and handed from a worker to the program that shows them."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Counts(msgspec.Struct, kw_only=True):
    """What some transactions did, counted only once they are committed. Keys are lanes, or kinds of message."""

    records: dict[str, int] = {}
    lost: dict[str, int] = {}
    undecodable: dict[str, int] = {}
    samples: int = 0
    trimmed: int = 0
    refused: int = 0
    greeted: int = 0
    quarantined: int = 0
    unregistered: int = 0

    def add(self, more: Counts) -> None:
        """Add other counts to these."""
        for name in self.__struct_fields__:
            mine, others = getattr(self, name), getattr(more, name)
            if isinstance(mine, dict):
                for key, count in others.items():
                    mine[key] = mine.get(key, 0) + count
            else:
                setattr(self, name, mine + others)


class Counting(Protocol):
    """Takes counts: other counts, or the metrics of a program."""

    def add(self, more: Counts) -> None:
        """Add them to those known."""
