"""The twin on the gateway: the newest desired configuration that ran, the last good one while that is on trial, and the
newest that was refused.

Kept in TinyDB on a storage that never overwrites in place (`edge.document`). Each change is durable when its method
returns; all of them raise DocumentError, and what was kept before stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from tinydb import TinyDB

from edge.document import MOVE_AWAY, AtomicStorage
from edge.errors import DocumentError
from edge.trial import KEPT, ON, RETURNED, Trial


class Good(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration to return to. ``version`` 0 is the file's, of which nothing is kept."""

    version: int = 0
    config: dict[str, Any] | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the newest trial stands (`edge.trial`), of which version, since when (UTC, None if unknown), and which places
    never answered in it."""

    trial: str = ""
    version: int | None = None
    since_ns: int | None = None
    unanswered: tuple[str, ...] = ()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept. ``good`` is there as long as ``trial`` is."""

    version: int = 0
    config: dict[str, Any] | None = None
    refused: int | None = None
    reason: str = ""
    trial: Trial | None = None
    good: Good | None = None
    outcome: Outcome = Outcome()


class Twin:
    """What the fleet wants and what runs. ``version`` 0 is the configuration file."""

    def __init__(self, path: Path) -> None:
        self._db = TinyDB(path, storage=AtomicStorage)
        tables = self._db.storage.read() or {}
        try:
            state = msgspec.convert(tables.get("_default", {}).get("1", {}), State)
        except msgspec.ValidationError as error:
            raise DocumentError(f"{path} holds no twin: {error}", hint=MOVE_AWAY) from error
        self._take(state)

    def _take(self, state: State) -> None:
        self._state = msgspec.msgpack.encode(state)
        self.version = state.version
        self.refused = state.refused
        self.reason = state.reason
        self.trial = state.trial
        self.outcome = state.outcome

    @property
    def _kept(self) -> State:
        """All of it. Made anew each time: as objects a configuration takes megabytes."""
        return msgspec.msgpack.decode(self._state, type=State)

    @property
    def config(self) -> dict[str, Any] | None:
        """The configuration that runs, None if it is the file's."""
        return self._kept.config

    @property
    def good(self) -> Good:
        """What a trial would return to."""
        return self._kept.good or Good()

    def is_news(self, version: int) -> bool:
        """Tell whether a desired version is newer than what runs and what was refused."""
        return version > max(self.version, self.refused or 0)

    def accept(
        self, version: int, config: dict[str, Any], since_ns: int | None = None, well: tuple[str, ...] = ()
    ) -> None:
        """Try a configuration that passed its checks, after one under which these places were well.

        Where another is on trial already, the last good one stays what it was, and so do those that were well under it.
        """
        kept = self._kept
        was_well = kept.trial.well if kept.trial else well
        self._save(
            State(
                version=version,
                config=config,
                trial=Trial(version=version, since_ns=since_ns, well=was_well),
                good=kept.good or Good(version=kept.version, config=kept.config),
                outcome=Outcome(trial=ON, version=version, since_ns=since_ns),
            )
        )

    def count_starts(self, starts: int) -> None:
        """Keep how often the agent has started in this trial, unasked."""
        kept = self._kept
        if kept.trial is not None:
            self._save(msgspec.structs.replace(kept, trial=msgspec.structs.replace(kept.trial, starts=starts)))

    def keep(self, now_ns: int | None, unanswered: tuple[str, ...]) -> None:
        """End the trial: what runs is the last good configuration from now on."""
        outcome = Outcome(trial=KEPT, version=self.version, since_ns=now_ns, unanswered=unanswered)
        self._save(msgspec.structs.replace(self._kept, trial=None, good=None, outcome=outcome))

    def go_back(self, now_ns: int | None, reason: str) -> None:
        """End the trial: refuse the version that was tried, and return to the last good one."""
        kept, good = self._kept, self.good
        refused = max(kept.version, kept.refused or 0)
        self._save(
            State(
                version=good.version,
                config=good.config,
                refused=refused,
                reason=reason if refused == kept.version else kept.reason,
                outcome=Outcome(trial=RETURNED, version=kept.version, since_ns=now_ns),
            )
        )

    def refuse(self, version: int, reason: str) -> None:
        """Keep why a version was not applied."""
        self._save(msgspec.structs.replace(self._kept, refused=version, reason=reason))

    def _save(self, state: State) -> None:
        self._db.storage.write({"_default": {"1": msgspec.to_builtins(state)}})
        self._take(state)

    def close(self) -> None:
        """Release the file."""
        self._db.close()
