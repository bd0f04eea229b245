"""What has fired and what came of it: a request stands as its command does, and what was not done is an alarm."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.chains.models import LATE, ChainAction, ChainFiring, ChainRule
from fleet.chains.rulebook import read_content
from fleet.commands import service as commands
from fleet.commands.models import GatewayCommand
from fleet.errors import NotFoundError

NS = 1_000_000_000
ANSWER_NS = 60 * NS
"""A gateway that has not answered for so long is told of as one that does not."""
WATCH_NS = 86_400 * NS
"""So long what was not done is an alarm; after that it stands in the list and in the journal."""
LIST_LETTERS_MOST = 400


def get_firing(session: Session, firing_id: int) -> ChainFiring:
    """Return a firing. Raises NotFoundError."""
    row = session.get(ChainFiring, firing_id)
    if row is None:
        raise NotFoundError(f"no chain has fired under the number {firing_id}")
    return row


def list_firings(session: Session, limit: int, before: int | None = None) -> Sequence[ChainFiring]:
    """Firings and drills, newest first; ``before`` is the id of the last one seen."""
    query = sa.select(ChainFiring).order_by(ChainFiring.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(ChainFiring.id < before)).all()


def list_actions(session: Session, firing_ids: Sequence[int]) -> list[tuple[ChainAction, GatewayCommand | None]]:
    """What was asked of whom, in the order asked, with the command if one could be sent."""
    query = sa.select(ChainAction, GatewayCommand).outerjoin(
        GatewayCommand, GatewayCommand.id == ChainAction.command_id
    )
    found = session.execute(query.where(ChainAction.firing_id.in_(firing_ids)).order_by(ChainAction.id))
    return [(row[0], row[1]) for row in found]


def state_of(action: ChainAction, command: GatewayCommand | None, now_ns: int) -> str:
    """How a request stands: as a command does, ``unsent`` if there is none, ``silent`` if nobody has answered yet."""
    if command is None:
        return "unsent"
    state = commands.state(command, now_ns)
    return "silent" if state == "pending" and now_ns - action.made_ns >= ANSWER_NS else state


def watch(session: Session, now_ns: int) -> None:
    """Raise an alarm of the fleet's own for each firing that a gateway has not carried out, and clear it once all have.
    Drills call nobody."""
    query = sa.select(ChainFiring).where(sa.not_(ChainFiring.is_drill), ChainFiring.fired_ns > now_ns - WATCH_NS)
    firings = {firing.id: firing for firing in session.scalars(query)}
    amiss: dict[str, list[str]] = {}
    for action, command in list_actions(session, list(firings)):
        state = state_of(action, command, now_ns)
        if state not in ("done", "pending"):
            detail = action.trouble or (command.detail if command is not None else "")
            subject = name_firing(firings[action.firing_id])
            amiss.setdefault(subject, []).append(" ".join(f"{action.gateway}: {state} {detail}".split()))
    amiss |= {
        name_firing(firing): ["the fleet learnt of the quake too late, nothing was set going"]
        for firing in firings.values()
        if firing.state == LATE
    }
    for row in session.scalars(sa.select(ChainRule)):
        if read_content(row.content) is None:
            amiss[row.name] = ["this release cannot read the rule: import the rules anew"]
    details = {subject: "; ".join(lines)[:LIST_LETTERS_MOST] for subject, lines in amiss.items()}
    own.settle(session, own.FLEET, own.CHAIN, details, now_ns)


def name_firing(firing: ChainFiring) -> str:
    """How a firing is called among alarms."""
    return f"{firing.rule}#{firing.id}"
