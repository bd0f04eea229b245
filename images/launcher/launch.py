"""The launcher: runs the agent out of one of two slots, tries a new release, and goes back if it does not prove itself.

    launch.py --slots DIR -- run --config ... --data ...

    DIR/a, DIR/b       a release each: fengsui-edge/fengsui-edge and release.json; filled by a rename
    DIR/slot.json      State: which slot is good, what is tried, how the last trial ended    launcher alone
    DIR/order.json     Order: try the release in that slot; then the agent exits             agent -> launcher
    DIR/trial.json     this run is a trial: nonce, slot, version, action, left, confirm_s    launcher -> agent
    DIR/waits.json     {"nonce", "for": [...]}: what the agent still waits for               agent, read at the end
    DIR/confirm.json   {"nonce"}: the agent found itself well                                agent -> launcher

The agent finds DIR in FENGSUI_SLOTS, its own slot in FENGSUI_SLOT, and whom to tell that it lives in NOTIFY_SOCKET
and WATCHDOG_USEC.

It is no part of what it launches and loads nothing from a slot. What it decides is on the disk before it acts on it:
it may be killed anywhere, and the next start goes on from slot.json.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

SLOTS = ("a", "b")
PROGRAM = "fengsui-edge/fengsui-edge"
SLOT, ORDER, TRIAL, WAITS, CONFIRM = "slot.json", "order.json", "trial.json", "waits.json", "confirm.json"
SHOWN = ("nonce", "slot", "version", "action", "left", "confirm_s")
CONFIRMED, ROLLED_BACK, INCONCLUSIVE, REFUSED = "confirmed", "rolled-back", "inconclusive", "refused"
TURN_S, PROBE_S, ABORT_S, PAUSE_MOST_S, STEADY_S = 0.5, 3.0, 2.0, 30.0, 60.0
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1
TYPES: Mapping[str, Any] = {"str": str, "int": int, "float": (int, float)}


@dataclass(frozen=True)
class Release:
    """A release in a slot, and the digest of its tree by `tree_digest`."""

    slot: str
    version: str
    tree_sha256: str


@dataclass(frozen=True)
class Order(Release):
    """What the agent orders: ``tries`` attempts of ``confirm_s`` seconds. ``probe``: the fleet's "host:port", or ""."""

    action: str
    tries: int
    confirm_s: float
    probe: str


@dataclass(frozen=True)
class Trial(Release):
    """What is tried: ``left`` attempts after the one that runs. ``fault``: how it last broke down, or ""."""

    action: str
    left: int
    confirm_s: float
    probe: str
    nonce: str
    fault: str = ""


@dataclass(frozen=True)
class Last:
    """How the last order ended. ``at``: seconds since 1970, by the gateway's clock."""

    action: str
    version: str
    outcome: str
    reason: str
    at: int


@dataclass(frozen=True)
class State:
    """All that must outlive the launcher. ``damage`` says why ``good`` is not the release that was good before."""

    good: Release
    previous: Release | None = None
    trial: Trial | None = None
    last: Last | None = None
    damage: str = ""


T = TypeVar("T")


def parse(kind: type[T], document: Any) -> T:
    """Read one of the flat records above. Raises ValueError naming the field that is wrong."""
    document = document if isinstance(document, dict) else {}
    values = {field.name: document.get(field.name, field.default) for field in fields(kind)}  # type: ignore[arg-type]
    for field in fields(kind):  # type: ignore[arg-type]
        if not isinstance(values[field.name], TYPES[str(field.type)]):
            raise ValueError(f"{field.name} is missing or wrong")  # noqa: TRY004 - of a document, not of code
    if values.get("slot", "a") not in SLOTS:
        raise ValueError(f"slot is {values['slot']!r}, not one of {', '.join(SLOTS)}")
    return kind(**values)


def parse_state(document: Any) -> State:
    """Read slot.json. Raises ValueError."""
    document = document if isinstance(document, dict) else {}
    kinds: Mapping[str, Any] = {"previous": Release, "trial": Trial, "last": Last}
    rest = {name: parse(kind, document[name]) for name, kind in kinds.items() if document.get(name) is not None}
    return State(parse(Release, document.get("good")), **rest, damage=str(document.get("damage", "")))


# Transitions: pure, state in and state out. A slot that is tried was written over: it is no longer the previous one.


def begin(state: State, order: Order, nonce: str) -> State:
    """Take an order."""
    release = (order.slot, order.version, order.tree_sha256)
    trial = Trial(*release, order.action, order.tries, order.confirm_s, order.probe, nonce)
    return replace(state, previous=None, trial=trial)


def objection(state: State, order: Order) -> str:
    """Why an order is not taken, "" if it is."""
    if order.slot == state.good.slot:
        return f"slot {order.slot} holds the good release"
    return "" if order.tries > 0 and order.confirm_s > 0 else "tries and confirm_s must be above 0"


def count(state: State) -> State:
    """Count an attempt down, before it starts: however it ends, it was one."""
    return state if state.trial is None else replace(state, trial=replace(state.trial, left=state.trial.left - 1))


def blame(state: State, fault: str) -> State:
    """Note that a trial broke down."""
    return state if state.trial is None else replace(state, trial=replace(state.trial, fault=fault))


def end(state: State, outcome: str, reason: str, at: int) -> State:
    """End the trial: its release becomes the good one if it is confirmed, else all is as before."""
    trial = state.trial
    assert trial is not None
    last = Last(trial.action, trial.version, outcome, reason, at)
    if outcome != CONFIRMED:
        return replace(state, trial=None, last=last)
    return State(Release(trial.slot, trial.version, trial.tree_sha256), previous=state.good, last=last)


def judge(trial: Trial, is_reached: bool, waits: list[str]) -> tuple[str, str]:
    """Judge a trial whose attempts are used up: outcome, reason. An outage of the fleet speaks against no release."""
    if trial.fault:
        return ROLLED_BACK, trial.fault
    waited = f", waited for: {', '.join(waits)}" if waits else ""
    reason = f"not confirmed in any attempt of {trial.confirm_s:g} s{waited}"
    if trial.probe and not is_reached:
        return INCONCLUSIVE, f"{reason}; {trial.probe} could not be reached"
    return ROLLED_BACK, reason


def fall_back(state: State) -> State:
    """Take the previous release for the good one, whose tree is damaged."""
    assert state.previous is not None
    damage = f"slot {state.good.slot} with {state.good.version} is damaged: runs {state.previous.version}"
    return replace(state, good=state.previous, previous=None, damage=damage)


def rebuild(found: Mapping[str, Release], tried: str) -> State | None:
    """Make the state anew from what the slots hold, but for the slot that was being tried if there is another."""
    slots = sorted(found, key=lambda slot: (slot == tried, slot))
    others = [found[slot] for slot in slots[1:] if slot != tried]
    return State(found[slots[0]], previous=next(iter(others), None)) if slots else None


# Files.


def tree_digest(folder: Path) -> str:
    """SHA-256 over the sorted lines of a tree: kind (x executable, - other file, l link), path, SHA-256 or target.

    Raises OSError, and ValueError for what is neither file, link nor folder.
    """
    lines = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            lines.append(f"l\0{name}\0{path.readlink()}\n")
        elif path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{'x' if path.stat().st_mode & 0o100 else '-'}\0{name}\0{digest}\n")
        elif not path.is_dir():
            raise ValueError(f"{path} is neither file, link nor folder")
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def look_at(folder: Path) -> str:
    """Digest a tree, "" if it cannot be read: no release has that."""
    try:
        return tree_digest(folder)
    except (OSError, ValueError):
        return ""


def is_whole(slots: Path, release: Release) -> bool:
    """Whether a slot holds exactly this release."""
    return release.tree_sha256 != "" and look_at(slots / release.slot) == release.tree_sha256


def find_release(slots: Path, slot: str) -> Release | None:
    """See what a slot holds, None if nothing that could run."""
    document = read(slots / slot / "release.json") or {}
    if not (slots / slot / PROGRAM).is_file():
        return None
    return Release(slot, str(document.get("version", "unknown")), look_at(slots / slot))


def read(path: Path) -> dict[str, Any] | None:
    """Read a JSON object: None if there is no file, empty if it holds no object."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def sync(folder: Path) -> None:
    """Have a folder's names on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a JSON file at once and for good. Raises OSError, and then the old one stands."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file for good, if it is there."""
    if path.exists():
        path.unlink()
        sync(path.parent)


def say(text: str) -> None:
    """Tell the journal."""
    print(f"launcher: {text}", file=sys.stderr, flush=True)


# Processes.


class Launcher:
    """Runs one agent after another until it is told to stop."""

    def __init__(self, slots: Path, arguments: list[str], watchdog_s: float, stop_s: float, pause_s: float) -> None:
        self._slots, self._arguments, self._watchdog_s, self._stop_s = slots, arguments, watchdog_s, stop_s
        self._pause_s = pause_s
        self._stopping = 0
        self._fed_s = 0.0
        self._hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hears.bind("")  # an abstract name of the kernel's choice: no file, nothing to be cleaned up
        self._hears.setblocking(False)
        self._wakes, wakened = socket.socketpair()
        wakened.setblocking(False)
        self._wakened = wakened
        signal.set_wakeup_fd(wakened.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._state = self._load()

    def _stop(self, number: int, _: object) -> None:
        self._stopping = number

    def run(self) -> int:
        """Run agents until SIGTERM or SIGINT. Returns the exit status."""
        pause_s = self._pause_s / 2
        while not self._stopping:
            try:
                release = self._next()
            except OSError as error:
                release = self._give_up(error)
            began_s = time.monotonic()
            fault = self._run(release)
            is_steady = isinstance(release, Trial) or time.monotonic() - began_s > STEADY_S
            pause_s = self._pause_s if is_steady else min(2 * pause_s, PAUSE_MOST_S)
            if fault:
                say(f"{release.version} in slot {release.slot}: {fault}")
                self._note(blame(self._state, fault))
                self._wait(pause_s)
        return 0

    def _give_up(self, error: OSError) -> Release:
        """Try nothing: an attempt that cannot be counted on the disk must not begin."""
        say(f"{error}: tries nothing, runs the good release")
        if self._state.trial is not None:
            self._state = end(self._state, INCONCLUSIVE, f"not tried: {error}", int(time.time()))
        with contextlib.suppress(OSError):  # else the good release would confirm the trial in its place
            remove(self._slots / TRIAL)
        return self._state.good

    def _load(self) -> State:
        document = read(self._slots / SLOT)
        try:
            return parse_state(document)
        except ValueError as error:
            found = {slot: release for slot in SLOTS if (release := find_release(self._slots, slot)) is not None}
            state = rebuild(found, str((read(self._slots / TRIAL) or {}).get("slot")))
            if state is None:
                raise SystemExit(f"launcher: no slot of {self._slots} holds an agent") from None
            try:
                if document is not None:
                    say(f"{SLOT} cannot be read ({error}): kept as slot.broken, made anew from the slots")
                    os.replace(self._slots / SLOT, self._slots / "slot.broken")
                write(self._slots / SLOT, asdict(state))
            except OSError as full:
                say(str(full))
            return state

    def _keep(self, state: State) -> None:
        """Have the state on the disk, and only then go by it. Raises OSError."""
        if state != self._state:
            write(self._slots / SLOT, asdict(state))
            last, self._state = self._state.last, state
            if state.last is not None and state.last != last:
                say(f"{state.last.version}: {state.last.outcome} {state.last.reason}")

    def _note(self, state: State) -> None:
        """Go by a state, and keep it if the disk takes it: nothing is worse off that forgets it."""
        try:
            self._keep(state)
        except OSError as error:
            say(str(error))
            self._state = state

    def _next(self) -> Release:
        """Decide what runs next, durably. Raises OSError if that cannot be written."""
        self._take_confirm()
        self._take_order()
        trial = self._state.trial
        if trial is not None and trial.left <= 0:
            outcome, reason = judge(trial, bool(trial.probe) and reaches(trial.probe), self._waits(trial))
            self._keep(end(self._state, outcome, reason, int(time.time())))
        elif trial is not None and not is_whole(self._slots, trial):
            reason = f"slot {trial.slot} does not hold what was ordered"
            self._keep(end(self._state, REFUSED, reason, int(time.time())))
        if self._state.trial is not None:
            self._keep(count(self._state))
            shown = asdict(self._state.trial)
            write(self._slots / TRIAL, {name: shown[name] for name in SHOWN})
            return self._state.trial
        self._check_good()
        remove(self._slots / TRIAL)
        return self._state.good

    def _check_good(self) -> None:
        good, previous = self._state.good, self._state.previous
        if is_whole(self._slots, good):
            return
        say(f"slot {good.slot} with {good.version} is damaged")
        if previous is not None and is_whole(self._slots, previous):
            self._note(fall_back(self._state))

    def _take_confirm(self) -> None:
        trial, document = self._state.trial, read(self._slots / CONFIRM)
        if document is None:
            return
        try:
            if trial is not None and document.get("nonce") == trial.nonce:
                self._keep(end(self._state, CONFIRMED, "", int(time.time())))
                remove(self._slots / TRIAL)
            remove(self._slots / CONFIRM)
        except OSError as error:  # it is taken as soon as the disk takes it
            say(str(error))

    def _take_order(self) -> None:
        document = read(self._slots / ORDER)
        if document is None:
            return
        if self._state.trial is None:  # else it is the one that began the trial
            try:
                order = parse(Order, document)
                refusal = objection(self._state, order)
            except ValueError as error:
                refusal = str(error)
            if refusal:
                action, version = str(document.get("action", "")), str(document.get("version", ""))
                self._keep(replace(self._state, last=Last(action, version, REFUSED, refusal, int(time.time()))))
            else:
                self._keep(begin(self._state, order, secrets.token_hex(8)))
        remove(self._slots / ORDER)

    def _waits(self, trial: Trial) -> list[str]:
        document = read(self._slots / WAITS) or {}
        names = document.get("for") if document.get("nonce") == trial.nonce else None
        return [str(name) for name in names] if isinstance(names, list) else []

    def _run(self, release: Release) -> str:
        """Run an agent to its end. Returns its fault, "" if it ended as it may."""
        say(f"starts {release.version} in slot {release.slot}")
        environment = os.environ | {
            "NOTIFY_SOCKET": "@" + self._hears.getsockname()[1:].decode("ascii"),
            "WATCHDOG_USEC": str(int(self._watchdog_s * 1e6)),
            "FENGSUI_SLOTS": str(self._slots),
            "FENGSUI_SLOT": release.slot,
        }
        environment.pop("WATCHDOG_PID", None)
        command = [str(self._slots / release.slot / PROGRAM), *self._arguments]
        try:
            child = subprocess.Popen(command, env=environment, process_group=0, preexec_fn=die_with_parent)  # noqa: S603
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        fault = self._watch(child)
        with contextlib.suppress(ProcessLookupError):  # whatever it left behind
            os.killpg(child.pid, signal.SIGKILL)
        return fault

    def _watch(self, child: subprocess.Popen[bytes]) -> str:
        began_s = self._fed_s = time.monotonic()
        while child.poll() is None:
            self._turn()
            self._take_confirm()
            trial, now_s = self._state.trial, time.monotonic()
            if self._stopping:
                self._end(child, self._stopping, self._stop_s)
            elif now_s - self._fed_s > self._watchdog_s:
                self._end(child, signal.SIGABRT, ABORT_S)
                return f"gave no sign of life for {self._watchdog_s:g} s"
            elif trial is not None and now_s - began_s > trial.confirm_s:
                self._end(child, signal.SIGTERM, self._stop_s)
                return ""
        self._take_confirm()
        is_ordered = self._state.trial is None and (self._slots / ORDER).exists()
        return "" if self._stopping or is_ordered else describe(child.returncode)

    def _end(self, child: subprocess.Popen[bytes], number: int, patience_s: float) -> None:
        child.send_signal(number)
        until_s = time.monotonic() + patience_s
        while child.poll() is None and (left_s := until_s - time.monotonic()) > 0:
            self._turn(min(left_s, TURN_S))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def _wait(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            self._turn(min(left_s, TURN_S))

    def _turn(self, most_s: float = TURN_S) -> None:
        """Wait a little for the agent's word or a signal. systemd watches the launcher, the launcher the agent."""
        ready, _, _ = select.select([self._hears, self._wakes], [], [], most_s)
        notify("WATCHDOG=1")
        if self._wakes in ready:
            self._wakes.recv(4096)
        if self._hears in ready:
            words = self._hears.recv(4096).decode("utf-8", "replace").splitlines()
            if "WATCHDOG=1" in words or "READY=1" in words:
                self._fed_s = time.monotonic()
            notify("\n".join(word for word in words if word.startswith(("READY=", "STATUS="))))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends: two agents never share a spool."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def describe(status: int) -> str:
    """Say how a process ended."""
    return (
        f"was ended by signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"ended with status {status}"
    )


def notify(message: str) -> None:
    """Tell systemd, if it asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address and message:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaks:
            speaks.setblocking(False)
            speaks.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


def reaches(probe: str) -> bool:
    """Whether a TCP connection to "host:port" comes about in `PROBE_S`, looking its name up included."""
    host, _, port = probe.rpartition(":")
    reached: list[bool] = []

    def attempt() -> None:
        with contextlib.suppress(OSError, ValueError):
            socket.create_connection((host.strip("[]"), int(port)), PROBE_S).close()
            reached.append(True)

    trying = threading.Thread(target=attempt, daemon=True)
    trying.start()
    trying.join(PROBE_S)
    return bool(reached)


def main(arguments: list[str] | None = None) -> int:
    """Run the launcher."""
    parser = argparse.ArgumentParser(prog="launch.py", description="Runs the Fengsui agent out of one of two slots.")
    parser.add_argument("--slots", type=Path, required=True, metavar="DIR", help="folder of the slots a and b")
    parser.add_argument("--watchdog-s", type=float, default=30.0, help="an agent silent for this long hangs")
    parser.add_argument("--stop-s", type=float, default=20.0, help="how long an agent may take to stop")
    parser.add_argument("--pause-s", type=float, default=1.0, help="how long after a breakdown the next start comes")
    parser.add_argument("agent", nargs="*", metavar="-- ARGUMENTS", help="what the agent is started with")
    options = parser.parse_args(arguments)
    slots, agent = options.slots.absolute(), options.agent
    return Launcher(slots, agent, options.watchdog_s, options.stop_s, options.pause_s).run()


if __name__ == "__main__":
    sys.exit(main())
