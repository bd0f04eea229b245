"""The launcher's folder as the agent sees it: where releases lie, which one runs, and what to ask of the launcher.

The launcher (images/launcher) owns the folder. The agent reads ``slot.json`` and ``trial.json``, fills the slot that
does not run, and writes ``order.json``, ``waits.json`` and ``confirm.json``, each whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edge.errors import EdgeError
from provisioning.errors import KeyFileError
from provisioning.keys import PUBLIC, write_file

T = TypeVar("T")

VARIABLE = "FENGSUI_SLOTS"
"""Where the launcher says which folder it runs the agent from."""
OWN_VARIABLE = "FENGSUI_SLOT"
"""Where it says which slot of that folder runs."""
OTHER: Mapping[str, Literal["a", "b"]] = {"a": "b", "b": "a"}


class SlotError(EdgeError):
    """The launcher's folder cannot be used. Nothing that runs was changed."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a slot holds."""

    slot: str
    version: str
    tree_sha256: str = ""


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """How the newest trial ended."""

    action: str
    version: str = ""
    outcome: str
    reason: str = ""


class SlotState(msgspec.Struct, frozen=True, kw_only=True):
    """``slot.json``, as far as the agent wants to know."""

    good: Held
    last: Last | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """``trial.json``: this run is a trial, to be confirmed by its ``nonce`` within ``confirm_s`` of its start."""

    nonce: str
    slot: str
    version: str
    action: str
    confirm_s: float = 0.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """``order.json``: what the launcher shall try once this run has ended.

    ``probe`` is the broker's host:port: where it cannot be reached, a trial that is not confirmed proves nothing.
    """

    action: str
    slot: str
    version: str
    tree_sha256: str
    tries: int
    confirm_s: float
    probe: str


class Slots:
    """A launcher's folder. ``own`` is the slot that this agent runs from, "" where the launcher does not say."""

    def __init__(self, folder: Path, own: str = "") -> None:
        self.folder = folder
        self._own = own

    def state(self) -> SlotState:
        """Read which slot is good. Raises SlotError."""
        return self._read("slot.json", SlotState)

    def trial(self) -> Trial | None:
        """Return the trial that this run is, None if it is none."""
        if not (self.folder / "trial.json").exists():
            return None
        return self._read("trial.json", Trial)

    def _read(self, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SlotError(
                f"{self.folder / name} cannot be read: {error}", hint="the launcher mends it when it starts"
            ) from error

    def idle_slot(self) -> str:
        """Name the slot that does not run. Raises SlotError.

        A launcher whose disk takes nothing may run another slot than it could write down.
        """
        idle = OTHER.get(self.state().good.slot, "b")
        if idle == self._own:
            raise SlotError(
                f"slot {idle} runs, though slot.json says that the other does",
                hint="look at the disk, and start the launcher anew",
            )
        return idle

    def make_room(self, slot: str) -> Path:
        """Empty a slot, and return where its next tree is made: beside it, until it is whole. Raises SlotError."""
        making = self.folder / f"{slot}.new"
        try:
            shutil.rmtree(making, ignore_errors=True)
            shutil.rmtree(self.folder / slot, ignore_errors=True)
            making.mkdir(parents=True)
        except OSError as error:
            raise SlotError(f"{making} cannot be made: {error.strerror}", hint="look at the disk") from error
        return making

    def fill(self, slot: str, made: Path) -> None:
        """Put a whole tree into an empty slot; durable when this returns. Raises SlotError."""
        try:
            os.rename(made, self.folder / slot)
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SlotError(f"slot {slot} cannot be filled: {error.strerror}", hint="look at the disk") from error

    def order(self, order: Order) -> None:
        """Ask the launcher for a trial; it begins when this run ends. Raises SlotError."""
        self._write("order.json", order)

    def confirm(self, trial: Trial) -> None:
        """Tell the launcher that this run is well. Raises SlotError."""
        self._write("confirm.json", {"nonce": trial.nonce})

    def tell_waits(self, trial: Trial, waits: tuple[str, ...]) -> None:
        """Tell the launcher what this run still waits for: its reason, if it is not confirmed. Raises SlotError."""
        self._write("waits.json", {"nonce": trial.nonce, "for": waits})

    def _write(self, name: str, document: object) -> None:
        try:
            write_file(self.folder / name, msgspec.json.encode(document), PUBLIC)
        except KeyFileError as error:
            raise SlotError(str(error), hint=error.hint) from error


def find_slots(environment: Mapping[str, str]) -> Slots | None:
    """Return the folder of the launcher that runs this agent, None if none does."""
    folder = environment.get(VARIABLE)
    return Slots(Path(folder), environment.get(OWN_VARIABLE, "")) if folder else None
