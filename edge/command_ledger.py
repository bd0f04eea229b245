"""The commands that were taken, so that none is carried out twice: not after a restart, not by a clock set back.

A command is kept from before it is carried out until after its expiry. What was forgotten leaves its expiry behind as
a floor: nothing that expires before it is ever taken again, whatever the clock says.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from tinydb import TinyDB

from edge.document import MOVE_AWAY, AtomicStorage
from edge.errors import DocumentError
from wire.command import Order

COMMANDS_MOST = 500
"""So many are remembered; further ones wait until some expire. Only the fleet's key can fill this."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was taken. ``is_answered`` once its answer is durable in the spool."""

    id: str
    name: str
    author: str
    expires_ns: int
    is_answered: bool = False


class _State(msgspec.Struct, frozen=True, kw_only=True):
    floor_ns: int = 0
    taken: tuple[Taken, ...] = ()


class CommandLedger:
    """Every change is durable when its method returns; DocumentError says that it was not made."""

    def __init__(self, path: Path) -> None:
        self._db = TinyDB(path, storage=AtomicStorage)
        tables = self._db.storage.read() or {}
        try:
            self._state = msgspec.convert(tables.get("_default", {}).get("1", {}), _State)
        except msgspec.ValidationError as error:
            raise DocumentError(f"{path} holds no commands: {error}", hint=MOVE_AWAY) from error

    @property
    def floor_ns(self) -> int:
        """What expires at or before this was forgotten, or never came."""
        return self._state.floor_ns

    @property
    def is_full(self) -> bool:
        """Whether no further command can be remembered."""
        return len(self._state.taken) >= COMMANDS_MOST

    @property
    def unanswered(self) -> list[Taken]:
        """Commands whose answer is not known to be durable."""
        return [taken for taken in self._state.taken if not taken.is_answered]

    def knows(self, command_id: str) -> bool:
        """Whether a command was taken before."""
        return any(taken.id == command_id for taken in self._state.taken)

    def take(self, order: Order) -> None:
        """Remember a command. Call it before anything is done about it."""
        taken = Taken(id=order.id, name=order.name, author=order.author, expires_ns=order.expires_ns)
        self._keep(msgspec.structs.replace(self._state, taken=(*self._state.taken, taken)))

    def note_answer(self, command_id: str) -> None:
        """Remember that a command was answered for good."""
        taken = tuple(
            msgspec.structs.replace(each, is_answered=True) if each.id == command_id else each
            for each in self._state.taken
        )
        self._keep(msgspec.structs.replace(self._state, taken=taken))

    def forget(self, now_ns: int) -> None:
        """Forget what has expired and was answered."""
        gone = [each for each in self._state.taken if each.is_answered and each.expires_ns <= now_ns]
        if gone:
            floor_ns = max(self._state.floor_ns, *(each.expires_ns for each in gone))
            self._keep(_State(floor_ns=floor_ns, taken=tuple(each for each in self._state.taken if each not in gone)))

    def _keep(self, state: _State) -> None:
        self._db.storage.write({"_default": {"1": msgspec.to_builtins(state)}})
        self._state = state

    def close(self) -> None:
        """Release the file."""
        self._db.close()
