"""The checklist: each thing that has to work from the scan to the platform, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from wire.checklist import Check

NS = 1_000_000_000
DAY_NS = 86_400 * NS
PATIENCE_NS = 30 * NS
"""After that, what has not come is a failure with a name; it may come all the same."""
WAITS = {
    "unassigned": "door-unassigned",
    "in-use": "door-in-use",
    "lapsed": "door-lapsed",
    "claim-used": "door-claim-used",
    "claim-expired": "door-claim-expired",
    "key-revoked": "door-key-revoked",
    "already-replaced": "door-already-replaced",
    "refused": "door-refused",
}
"""Why a gateway waits at the door or is turned away (`fleet.claims.enrolment`): the name of the failure."""
TRIALS = {"refused": "trial-refused", "failed": "trial-failed", "expired": "trial-expired"}
"""What became of the command to try an output."""

WAY = ("clock", "dns", "tls")
State = Literal["waiting", "done", "failed"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the checklist. ``kind``, ``state`` and ``fault`` as in `wire.checklist.Check`, and more of each.

    ``trial`` is the number of a trial that somebody has to judge now, ``can_try`` whether one can be begun.
    """

    kind: str
    state: State
    subject: str = ""
    title: str = ""
    fault: str = ""
    detail: str = ""
    trial: int | None = None
    can_try: bool = False


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The newest trial of an output; ``state`` is that of its command."""

    number: int
    output: str
    was_seen: bool | None
    state: str
    detail: str


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A platform: how far it has the lane of the first record, and its last error if it refuses now."""

    name: str
    position: int
    error: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one commissioning. Times in ns, UTC; ``record`` is the position of the first record."""

    now_ns: int
    begun_ns: int
    asked_ns: int | None
    waits: str
    not_after_ns: int | None
    heard_ns: int | None
    wanted_version: int | None
    reported_version: int | None
    refused: str
    door: Sequence[Check]
    checks: Sequence[Check]
    record: int | None
    record_ns: int | None
    destinations: Sequence[Destination] = ()
    trials: Mapping[str, Trial] = {}
    knows_trials: bool = False
    is_signed: bool = False


def compose(found: Findings) -> tuple[Step, ...]:
    """Put the checklist together, in the order in which things happen."""
    return (
        _ask(found),
        *_way(found),
        _certificate(found),
        _mqtt(found),
        *_configuration(found),
        *(_step(check) for check in found.checks if check.kind in {"bus", "device"}),
        _record(found),
        *(_platform(found, one) for one in found.destinations),
        *(_output(found, check) for check in found.checks if check.kind == "output"),
    )


def is_complete(steps: Iterable[Step]) -> bool:
    """Tell whether nothing is left to do."""
    return all(step.state == "done" for step in steps)


def _step(check: Check) -> Step:
    return Step(
        kind=check.kind,
        subject=check.subject,
        title=check.title,
        state=check.state,
        fault=check.fault,
        detail=check.detail,
    )


def _is_late(found: Findings, since_ns: int | None) -> bool:
    return since_ns is not None and found.now_ns - since_ns > PATIENCE_NS


def _wait(kind: str, found: Findings, since_ns: int | None, fault: str, detail: str = "") -> Step:
    """A step that has not come: it waits, and fails by name when it is late. Nothing waits for what cannot come yet."""
    late = _is_late(found, since_ns)
    return Step(kind=kind, state="failed" if late else "waiting", fault=fault if late else "", detail=detail)


def _ask(found: Findings) -> Step:
    if found.waits in WAITS:
        return Step(kind="ask", state="failed", fault=WAITS[found.waits])
    if found.asked_ns is not None or found.not_after_ns is not None or found.heard_ns is not None:
        return Step(kind="ask", state="done")
    return _wait("ask", found, found.begun_ns, "door-silent")


def _way(found: Findings) -> list[Step]:
    """Clock, DNS, TLS: what the gateway said at the door, and the clock as it says now.

    An early release says nothing there, and one on the same machine needs no TLS: then there is nothing to wait for.
    """
    newest = {check.kind: check for check in (*found.door, *found.checks) if check.kind in WAY}
    has_come = found.asked_ns is not None or found.heard_ns is not None
    return [
        _step(newest[kind]) if kind in newest else Step(kind=kind, state="waiting")
        for kind in WAY
        if kind in newest or not has_come
    ]


def _certificate(found: Findings) -> Step:
    if found.not_after_ns is None:
        return Step(kind="certificate", state="waiting")
    days = -(-(found.not_after_ns - found.now_ns) // DAY_NS)
    return Step(kind="certificate", state="done", detail=str(max(0, days)))


def _mqtt(found: Findings) -> Step:
    if found.heard_ns is not None:
        return Step(kind="mqtt", state="done")
    return _wait("mqtt", found, found.asked_ns if found.not_after_ns is not None else None, "mqtt-silent")


def _configuration(found: Findings) -> list[Step]:
    if found.wanted_version is None:
        return []
    if found.refused:
        return [Step(kind="configuration", state="failed", fault="configuration-refused", detail=found.refused)]
    if (found.reported_version or 0) >= found.wanted_version:
        return [Step(kind="configuration", state="done", detail=str(found.reported_version))]
    return [_wait("configuration", found, found.heard_ns, "configuration-silent")]


def _record(found: Findings) -> Step:
    if found.record is not None:
        return Step(kind="record", state="done")
    return _wait("record", found, found.heard_ns, "record-missing")


def _platform(found: Findings, one: Destination) -> Step:
    if found.record is not None and one.position >= found.record:
        return Step(kind="platform", subject=one.name, state="done")
    if one.error:
        return Step(kind="platform", subject=one.name, state="failed", fault="platform-refuses", detail=one.error)
    late = _wait("platform", found, found.record_ns, "platform-behind")
    return msgspec.structs.replace(late, subject=one.name)


def _output(found: Findings, check: Check) -> Step:
    begun = msgspec.structs.replace(_step(check), kind="trial", state="waiting", detail="", can_try=found.knows_trials)
    if check.state == "failed":
        return msgspec.structs.replace(begun, state="failed", fault=check.fault, detail=check.detail)
    trial = found.trials.get(check.subject)
    if trial is None:
        return begun
    if trial.was_seen:
        return msgspec.structs.replace(begun, state="done")
    if trial.was_seen is False:
        return msgspec.structs.replace(begun, state="failed", fault="trial-unseen")
    if trial.state in TRIALS:
        return msgspec.structs.replace(begun, state="failed", fault=TRIALS[trial.state], detail=trial.detail)
    waiting = msgspec.structs.replace(begun, can_try=False, detail=trial.state)
    return msgspec.structs.replace(waiting, trial=trial.number) if trial.state == "done" else waiting
