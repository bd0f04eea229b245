"""API tokens: keys of programs, shown once, that end by themselves."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.accounts import service
from fleet.accounts.authorization import SCOPES, Permission
from fleet.accounts.models import Account, ApiToken
from fleet.accounts.service import Identity
from fleet.errors import InvalidError, NotFoundError

PREFIX = "fst_"
"""Begins every token, so that a search for leaked secrets finds it."""
OCTETS = 32
DAY_NS = 86_400_000_000_000
DAYS_MOST = 730
_ALWAYS = frozenset({Permission.OPEN, Permission.SELF})


def make(session: Session, name: str, title: str, scopes: Collection[str], days: int, now_ns: int) -> str:
    """Make a token of an account and return it: it is not kept and cannot be shown again."""
    account = service.get(session, name)
    if not title or len(title) > 64 or not title.isprintable():
        raise InvalidError(f"{title!r} is no name of a token", hint="use 1 to 64 characters")
    if not scopes or (unknown := sorted(set(scopes) - set(SCOPES))):
        raise InvalidError(f"'{unknown[0] if scopes else ''}' is no scope", hint=f"choose of {', '.join(SCOPES)}")
    if not 1 <= days <= DAYS_MOST:
        raise InvalidError(f"a token cannot last {days} days", hint=f"1 to {DAYS_MOST}")
    token = PREFIX + secrets.token_urlsafe(OCTETS)
    session.add(
        ApiToken(
            account_id=account.id,
            name=title,
            token_hash=_hash(token),
            scopes=sorted(set(scopes)),
            created_ns=now_ns,
            expires_ns=now_ns + days * DAY_NS,
        )
    )
    session.flush()
    return token


def revoke(session: Session, name: str, title: str) -> None:
    """End an account's tokens of that name. Raises NotFoundError."""
    account = service.get(session, name)
    gone = sa.delete(ApiToken).where(ApiToken.account_id == account.id, ApiToken.name == title).returning(ApiToken.id)
    if not session.execute(gone).all():
        raise NotFoundError(f"'{name}' has no token '{title}'")


def list_all(session: Session) -> Sequence[tuple[str, ApiToken]]:
    """Return (account's name, token) of all tokens, also those that have ended."""
    query = sa.select(Account.name, ApiToken).join(Account, Account.id == ApiToken.account_id)
    return [(name, row) for name, row in session.execute(query.order_by(Account.name, ApiToken.id))]


def authenticate(session: Session, token: str, now_ns: int) -> Identity | None:
    """Return whom a token acts for, None if it is none of ours or has ended."""
    if not token.startswith(PREFIX):
        return None
    row = session.scalar(sa.select(ApiToken).where(ApiToken.token_hash == _hash(token)))
    account = session.get(Account, row.account_id) if row and now_ns < row.expires_ns else None
    if row is None or account is None or not account.enabled:
        return None
    scopes = _ALWAYS | frozenset(Permission(scope) for scope in row.scopes)
    return service.identify(account, f"token:{row.name}", scopes)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
