"""The spool: the only durability boundary of a gateway. Records leave only from here, and it forgets only what the
fleet has committed, or what it declares.

    spool      append, read, cursors, accounts
    file       the SQLite file: tables, one connection, transactions, sizes
    room       what is given up when there is none, in which order
    tombstones what stands in the place of records that are no longer held
    age        how long records have been held
    minutes    what a tombstone tells of the scans under it. Pure
    folding    many events of one rule as one. Pure
    standings  how alarms stand, over restarts
    salvage    what can be read of a damaged file
"""

from edge.spool.folding import Fold, fold, join, rule_of
from edge.spool.salvage import Salvaged
from edge.spool.spool import Entry, Event, Mark, Slice, Spool, spans
from edge.spool.standings import Remembered
from edge.spool.tombstones import Gone

__all__ = [
    "Entry",
    "Event",
    "Fold",
    "Gone",
    "Mark",
    "Remembered",
    "Salvaged",
    "Slice",
    "Spool",
    "fold",
    "join",
    "rule_of",
    "spans",
]
