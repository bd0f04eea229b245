"""Accounts: signing in, and adding people."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from sqlalchemy.orm import Session

from fleet.accounts.models import Account, Role
from fleet.errors import ConflictError, DeniedError, InvalidError

PASSWORD_MIN = 8
WRITERS = frozenset({Role.ADMINISTRATOR, Role.OPERATOR})

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody has this password")
"""Checked for a name that does not exist, so that an answer takes as long as for one that does."""


class Identity(msgspec.Struct, frozen=True):
    """Who is signed in, in the form that flask-login asks for."""

    id: int
    name: str
    role: Role
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        """Return what a session keeps."""
        return str(self.id)


def add(session: Session, name: str, password: str, role: Role, now_ns: int) -> Account:
    """Add an account."""
    if not name or len(name) > 64 or name != name.strip():
        raise InvalidError(f"'{name}' is not an account name", hint="use 1 to 64 characters, no space at the ends")
    if len(password) < PASSWORD_MIN:
        raise InvalidError("the password is too short", hint=f"use at least {PASSWORD_MIN} characters")
    if session.scalar(sa.select(Account.id).where(Account.name == name)) is not None:
        raise ConflictError(f"there is an account '{name}' already")
    account = Account(name=name, password_hash=_hasher.hash(password), role=role.value, created_ns=now_ns)
    session.add(account)
    session.flush()
    return account


def authenticate(session: Session, name: str, password: str) -> Identity | None:
    """Return who signs in with that name and password, None if nobody does."""
    account = session.scalar(sa.select(Account).where(Account.name == name))
    try:
        _hasher.verify(account.password_hash if account else _NOBODY, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return None
    return _identify(account) if account else None


def find(session: Session, account_id: str) -> Identity | None:
    """Return the account that a session names, None once it is gone."""
    account = session.get(Account, int(account_id)) if account_id.isdecimal() else None
    return _identify(account) if account else None


def is_empty(session: Session) -> bool:
    """Tell whether nobody can sign in yet."""
    return session.scalar(sa.select(Account.id).limit(1)) is None


def may_write(identity: Identity) -> bool:
    """Tell whether the account may change something."""
    return identity.role in WRITERS


def require_writer(identity: Identity) -> None:
    """Raise DeniedError unless the account may change something."""
    if not may_write(identity):
        raise DeniedError(f"'{identity.name}' may only read", hint="ask an administrator or an operator")


def _identify(account: Account) -> Identity:
    return Identity(account.id, account.name, Role(account.role))
