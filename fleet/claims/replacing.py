"""A new gateway takes another's place: it gets what the other was to be, and the other is retired in the same moment.

Nothing changes for the old one until the new one gets in by its claim.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.certificates import service as certificates
from fleet.claims import journal
from fleet.claims.models import Claim
from fleet.configs import service as configs
from fleet.errors import ConflictError, InvalidError
from fleet.gateways import lifecycle
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway

VIA = "claim"
"""How the audit log says that a replacement came about."""


def check(session: Session, name: str, replaces: str, now_ns: int) -> None:
    """Check that a new gateway may get a claim to another's place. A retired one may be replaced too, but only once.

    Raises InvalidError, NotFoundError for an old one that is not registered, or ConflictError.
    """
    if not name:
        raise InvalidError("say which gateway takes the other's place", hint="give the new one a name")
    if name == replaces:
        raise InvalidError("a gateway does not replace itself", hint="make another machine of that name a plain claim")
    if is_replaced(old := gateways.get_to_change(session, replaces), name):
        raise ConflictError(f"'{old.replaced_by}' has replaced gateway '{replaces}' already")
    if session.get(Gateway, name) is not None:
        raise ConflictError(f"gateway '{name}' is registered already", hint="the new one needs a name of its own")
    usable = sa.or_(Claim.expires_ns.is_(None), Claim.expires_ns > now_ns)
    waits = sa.select(Claim).where(Claim.replaces == replaces, Claim.used_ns.is_(None), Claim.gateway.is_not(None))
    if (other := session.scalar(waits.where(usable).limit(1))) is not None:
        raise ConflictError(
            f"claim {other.id} for gateway '{other.gateway}' waits to replace '{replaces}'", hint="withdraw it first"
        )


def is_replaced(old: Gateway, by_other_than: str) -> bool:
    """Tell whether another gateway has taken its place. One that came back since may be replaced again."""
    return old.retired_ns is not None and old.replaced_by not in ("", by_other_than)


def find_due(session: Session, claim: Claim, key: str) -> Gateway | None:
    """Return the gateway whose place a key is yet to take, locked; None if there is none or it has taken it already."""
    if not claim.replaces or certificates.newest_of_key(session, key) is not None:
        return None
    return gateways.get_to_change(session, claim.replaces)


def take_over(session: Session, old: Gateway, claim: Claim, now_ns: int) -> None:
    """Give the new gateway what the old one was to be, and retire that one.

    Title, site and position are the old one's where the claim says nothing. Its newest configuration becomes the new
    one's first.
    """
    new = gateways.get(session, claim.gateway or "")
    new.title, new.site_key = claim.title or old.title, claim.site_key or old.site_key
    if claim.lat is None:
        new.lat, new.lon = old.lat, old.lon
    newest = configs.latest(session, old.name)
    if newest is not None and configs.latest(session, new.name) is None:
        made_of = (newest.template, newest.template_version or 0) if newest.template else None
        configs.put(session, new.name, newest.config, 0, claim.made_by, now_ns, made_of)
        new.template, new.variables = old.template, dict(old.variables)
    old.replaced_by = new.name
    if old.retired_ns is None:
        lifecycle.retire(session, old.name, f"replaced by {new.name}", claim.made_by, now_ns)
    journal.note(session, "replaces", now_ns, gateway=new.name, claim_id=claim.id, by=claim.made_by, detail=old.name)
    session.flush()


def tell(session: Session, claim: Claim, address: str, now_ns: int) -> None:
    """Write the line of the audit log, which comes last in a transaction: whose claim it was, and who presented it."""
    actor = Actor(claim.made_by, VIA, address)
    audit.append(session, now_ns, actor, "gateway.replace", claim.replaces, {"by": claim.gateway, "claim": claim.id})
