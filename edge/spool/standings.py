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
        if isinstance(record, AlarmRecord) and record.change == RAISED:
            self._keep_raise(record)
            self._file.execute("DELETE FROM standing WHERE alarm = ?", (record.alarm,))
        elif record.standing:
            self._match_raise(record)
            body = msgspec.msgpack.encode(_Stands(record.standing, record.until_ns, record.occurrence))
            self._file.execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (record.alarm, body))
        else:
            self._file.execute("DELETE FROM raised WHERE alarm = ?", (record.alarm,))
            self._file.execute("DELETE FROM standing WHERE alarm = ?", (record.alarm,))

    def _keep_raise(self, raised: AlarmRecord) -> None:
        self._file.execute(
            "INSERT OR REPLACE INTO raised VALUES (?, ?)", (raised.alarm, msgspec.msgpack.encode(raised))
        )

    def _match_raise(self, record: AlarmRecord | StandingRecord) -> None:
        """Have the raise of this very occurrence, or none: its record may have been folded under a later one."""
        kept = self._decode("raised", AlarmRecord, record.alarm).get(record.alarm)
        if kept is not None and kept.occurrence == record.occurrence:
            return
        if Standing.ACTIVE in Standing(record.standing):
            self._keep_raise(
                AlarmRecord(
                    record.mono_ns,
                    record.wall_ns,
                    record.alarm,
                    record.tag,
                    record.level,
                    RAISED,
                    record.priority,
                    None,
                    standing=record.standing,
                    occurrence=record.occurrence,
                )
            )
        else:
            self._file.execute("DELETE FROM raised WHERE alarm = ?", (record.alarm,))

    def read(self) -> dict[str, Remembered]:
        """The alarms that are not normal, by name.

        An earlier release that ran in between wrote ``raised`` alone: what it raised anew nobody has acknowledged, what
        it cleared is over.
        """
        raised = self._decode("raised", AlarmRecord)
        stands = self._decode("standing", _Stands)
        found = {name: _join(record, stands.get(name)) for name, record in raised.items()}
        for name, each in stands.items():
            if name not in raised and Standing.ACTIVE not in Standing(each.standing):
                found[name] = _remember(each, None)
        return found

    def _decode(self, table: str, kind: type[T], alarm: str | None = None) -> dict[str, T]:
        found: dict[str, T] = {}
        sql = f"SELECT alarm, body FROM {table}"  # noqa: S608 - ours
        rows = self._file.query(sql) if alarm is None else self._file.query(f"{sql} WHERE alarm = ?", (alarm,))
        for name, body in rows:
            try:
                found[str(name)] = msgspec.msgpack.decode(octets(body), type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.error("how alarm %s stood cannot be read from %s: %s", name, self._file.path, error)
        return found


def _join(raised: AlarmRecord, stands: _Stands | None) -> Remembered:
    if stands is not None and stands.occurrence == raised.occurrence:
        return _remember(stands, raised)
    standing = int(standing_after(RAISED, raised.standing))
    return _remember(_Stands(standing, raised.until_ns, raised.occurrence), raised)


def _remember(stands: _Stands, raised: AlarmRecord | None) -> Remembered:
    return Remembered(
        standing=Standing(stands.standing), until_ns=stands.until_ns, occurrence=stands.occurrence, raised=raised
    )
