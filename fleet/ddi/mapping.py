"""From what a DDI client says of an action to a step of it. Pure.

https://eclipse.dev/hawkbit/apis/ddi_api/: feedback has an ``execution``, and a result that is ``finished`` in some way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

TEXT_MOST = 500
DETAILS_MOST = 50


class Result(msgspec.Struct, frozen=True):
    """How it went: ``success``, ``failure``, or ``none`` where that is not known yet."""

    finished: str = "none"


class Status(msgspec.Struct, frozen=True):
    """Where a client stands with an action."""

    execution: str
    result: Result = Result()
    details: Annotated[list[str], msgspec.Meta(max_length=DETAILS_MOST)] = []


class Feedback(msgspec.Struct, frozen=True):
    """What a client posts; whatever else it says is ignored."""

    status: Status


UNDER_WAY: Mapping[str, str] = {
    "proceeding": "trying",
    "scheduled": "waiting",
    "resumed": "downloading",
    "download": "downloading",
    "downloaded": "verified",
    "canceled": "cancelled",
    "rejected": "refused",
}
"""{execution: step}. ``closed`` depends on the result."""


def find_step(feedback: Feedback) -> str:
    """Return the step of an action, "" for an execution that nobody knows.

    ``closed`` without a result counts as done, as hawkBit has it.
    """
    status = feedback.status
    if status.execution == "closed":
        return "failed" if status.result.finished == "failure" else "confirmed"
    return UNDER_WAY.get(status.execution, "")


def find_detail(feedback: Feedback) -> str:
    """Return the client's own words."""
    return " ".join(text.strip() for text in feedback.status.details)[:TEXT_MOST]
