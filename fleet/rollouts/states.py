"""The states of an action and of a rollout, and what moves them. Pure.

action   planned -> waiting                     its wave has begun
         waiting -> offered -> running -> finished | failed | rejected
         offered, running -> timed-out          not heard of in time
         any that is open -> cancelling -> cancelled, or whatever it had come to before it heard of that
         running -> waiting                     another attempt, after an end that says nothing of the release
rollout  approval -> denied | ready; ready -> running <-> paused -> finished, and from there stopping -> stopped
"""

from __future__ import annotations

from collections.abc import Mapping

PLANNED, WAITING, OFFERED, RUNNING = "planned", "waiting", "offered", "running"
FINISHED, FAILED, REJECTED = "finished", "failed", "rejected"
TIMED_OUT, CANCELLING, CANCELLED = "timed-out", "cancelling", "cancelled"

OPEN = (WAITING, OFFERED, RUNNING, CANCELLING)
"""What a gateway is at, or is about to be; one of these at a time for each kind."""
CLOSED = (FINISHED, FAILED, REJECTED, TIMED_OUT, CANCELLED)
ERRORS = (FAILED, REJECTED, TIMED_OUT)
"""What counts against a release."""
STANDINGS: Mapping[str, tuple[str, ...]] = {
    "planned": (PLANNED,),
    "open": OPEN,
    "finished": (FINISHED,),
    "errors": ERRORS,
    "cancelled": (CANCELLED,),
}
"""{what an action comes down to for who looks at many: its states}."""

AFTER: Mapping[str, str] = {
    "waiting": RUNNING,
    "downloading": RUNNING,
    "verified": RUNNING,
    "installed": RUNNING,
    "trying": RUNNING,
    "confirmed": FINISHED,
    "failed": FAILED,
    "rolled-back": FAILED,
    "inconclusive": FAILED,
    "refused": REJECTED,
    "cancelled": CANCELLED,
}
"""{step that a gateway reports: state of its action}."""
AGAIN = frozenset({"failed", "inconclusive"})
"""Ends after which another attempt is worth while: nothing was found wrong with the release."""
AGAIN_AFTER_S = 60
"""So long after such an end: what stood in its way takes time to pass."""


def move(state: str, step: str, attempts_left: int) -> str:
    """Return the state of an action after its gateway has reported a step.

    What is closed stays as it is, but for a gateway that runs the release after all: the truth counts.
    """
    after = AFTER[step]
    if state in CLOSED:
        return FINISHED if after == FINISHED and state in (TIMED_OUT, CANCELLED) else state
    if state == CANCELLING:
        return after if after in CLOSED else CANCELLING
    if step in AGAIN and attempts_left > 0:
        return WAITING
    return after


APPROVAL, DENIED, READY = "approval", "denied", "ready"
PAUSED, STOPPING, STOPPED = "paused", "stopping", "stopped"

ROLLOUT_MOVES: Mapping[str, frozenset[str]] = {
    APPROVAL: frozenset({READY, DENIED, STOPPED}),
    READY: frozenset({RUNNING, STOPPED}),
    RUNNING: frozenset({PAUSED, FINISHED, STOPPING}),
    PAUSED: frozenset({RUNNING, STOPPING}),
    STOPPING: frozenset({STOPPED}),
    DENIED: frozenset(),
    FINISHED: frozenset(),
    STOPPED: frozenset(),
}
"""{state of a rollout: those that may follow}."""
