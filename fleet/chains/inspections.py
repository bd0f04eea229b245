"""Places that people have to look at after a quake: listed when a rule fires, ticked off on the page."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.chains.answers import LIST_LETTERS_MOST, get_firing, name_firing
from fleet.chains.models import ChainFiring, ChainInspection
from fleet.chains.rules import Inspect
from fleet.errors import ConflictError, NotFoundError
from fleet.sites.models import Site

COMMENT_MOST = 500


def note_places(session: Session, firing: ChainFiring, inspect: Inspect) -> None:
    """Note the places that a rule names, each to be looked at because of this firing."""
    query = sa.select(Site).where(sa.or_(Site.key.in_(inspect.sites), Site.sector.in_(inspect.sectors)))
    sites = [(site.key, site.title) for site in session.scalars(query.order_by(Site.title, Site.key))]
    for key, place in [*sites, *(("", place) for place in inspect.places)]:
        session.add(
            ChainInspection(firing_id=firing.id, title=inspect.title, site_key=key, place=place, done_by="", comment="")
        )


def list_inspections(session: Session, firing_ids: Sequence[int]) -> Sequence[ChainInspection]:
    """What is to be looked at, in its order."""
    query = sa.select(ChainInspection).where(ChainInspection.firing_id.in_(firing_ids))
    return session.scalars(query.order_by(ChainInspection.id)).all()


def tick(
    session: Session, item_id: int, by: str, comment: str, now_ns: int, *, is_done: bool = True
) -> ChainInspection:
    """Tick a place off, or take that back. Raises NotFoundError, or ConflictError if somebody else has done it."""
    item = session.get(ChainInspection, item_id, with_for_update=True)
    if item is None:
        raise NotFoundError(f"nothing is to be inspected under the number {item_id}")
    if is_done and item.done_ns is not None:
        raise ConflictError(f"'{item.place}' was ticked off by {item.done_by} already")
    item.done_ns, item.done_by = (now_ns, by) if is_done else (None, "")
    item.comment = comment.strip()[:COMMENT_MOST]
    session.flush()
    tell(session, get_firing(session, item.firing_id), now_ns)
    return item


def tell(session: Session, firing: ChainFiring, now_ns: int) -> None:
    """While something is left to be looked at, that is an alarm, by which `fleet.notifications` tells people."""
    left = [item for item in list_inspections(session, [firing.id]) if item.done_ns is None]
    if firing.is_drill:
        return
    if not left:
        own.clear_alarm(session, own.FLEET, own.INSPECTION, now_ns, name_firing(firing))
        return
    titles = dict.fromkeys(item.title for item in left)
    places = "、".join(item.place for item in left)
    if len(places) > LIST_LETTERS_MOST:
        places = f"{places[:LIST_LETTERS_MOST]}… ({len(left)})"
    detail = f"{'、'.join(titles)}: {places}"
    own.raise_alarm(session, own.FLEET, own.INSPECTION, detail, now_ns, name_firing(firing))
