"""How alarms stand, so that a restart neither raises nor forgets them: written with the record that says so.

raised     the record of the newest raise of each alarm that is not normal
standing   how each of them stands where a later record says so: (standing, until_ns, occurrence)
"""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec

from edge.spool.file import SpoolFile, octets
from wire.alarm import RAISED, Standing, standing_after
from wire.record import AlarmRecord, StandingRecord

T = TypeVar("T")
log = logging.getLogger(__name__)


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is not normal. ``until_ns`` is when its shelving ends, UTC in ns, None if that is not known.

    ``raised`` is the record that raised it last, None for one that was set aside without ever having been raised.
    """

    standing: Standing
    until_ns: int | None = None
    occurrence: int = 0
    raised: AlarmRecord | None = None


class _Stands(msgspec.Struct, frozen=True, array_like=True):
    standing: int
    until_ns: int | None
    occurrence: int


class Standings:
    """The two tables of a spool."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def note(self, record: AlarmRecord | StandingRecord) -> None:
        """Take over what a record says. Within the transaction that stores it."""
        if record.change == RAISED:
            body = msgspec.msgpack.encode(record)
            self._file.execute("INSERT OR REPLACE INTO raised VALUES (?, ?)", (record.alarm, body))
            self._file.execute("DELETE FROM standing WHERE alarm = ?", (record.alarm,))
        elif record.standing:
            body = msgspec.msgpack.encode(_Stands(record.standing, record.until_ns, record.occurrence))
            self._file.execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (record.alarm, body))
        else:
            self._file.execute("DELETE FROM raised WHERE alarm = ?", (record.alarm,))
            self._file.execute("DELETE FROM standing WHERE alarm = ?", (record.alarm,))

    def read(self) -> dict[str, Remembered]:
        """The alarms that are not normal, by name."""
        raised = self._decode("raised", AlarmRecord)
        stands = self._decode("standing", _Stands)
        found = {name: self._join(record, stands.pop(name, None)) for name, record in raised.items()}
        return found | {name: self._join(None, each) for name, each in stands.items()}

    def _join(self, raised: AlarmRecord | None, stands: _Stands | None) -> Remembered:
        newest = stands or raised
        assert newest is not None
        standing = Standing(newest.standing) if stands else standing_after(RAISED, newest.standing)
        return Remembered(standing=standing, until_ns=newest.until_ns, occurrence=newest.occurrence, raised=raised)

    def _decode(self, table: str, kind: type[T]) -> dict[str, T]:
        found: dict[str, T] = {}
        for alarm, body in self._file.query(f"SELECT alarm, body FROM {table}"):  # noqa: S608 - ours
            try:
                found[str(alarm)] = msgspec.msgpack.decode(octets(body), type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.error("how alarm %s stood cannot be read from %s: %s", alarm, self._file.path, error)
        return found
