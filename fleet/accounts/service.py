"""Accounts: adding and changing people, and who it is that signs in with a password."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from sqlalchemy.orm import Session

from fleet.accounts.authorization import Permission, grant
from fleet.accounts.models import Account, AccountSite, Role
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.sites.models import Site

PASSWORD_MIN = 8
PASSWORD_MAX = 1024

_hasher = PasswordHasher()
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$Y0YMMtb73im2dQsiLa5WXA$VGlmWiPBgqtZt1J/QMOsS0TZKX1oXJgoPEKYLolc+r0"
"""Checked for a name that does not exist, so that an answer takes as long as for one that does.

Written down, not made at the start: no program should pay for a hash that only a sign-in needs.
"""


class Identity(msgspec.Struct, frozen=True):
    """Who is signed in, in the form that flask-login asks for. ``via``: console, openid, basic or token:<name>."""

    id: int
    name: str
    role: Role
    version: int
    granted: frozenset[Permission]
    second_factor: bool = False
    via: str = "console"
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        """Return what a session keeps: it ends when the account's version grows."""
        return f"{self.id}.{self.version}"

    def may(self, permission: Permission) -> bool:
        """Tell whether this permission is granted."""
        return permission in self.granted

    @property
    def scope(self) -> int | None:
        """The account whose sites bound what is seen, None for all sites."""
        return self.id if self.role is Role.ENTERPRISE else None


def add(session: Session, name: str, password: str | None, role: Role, now_ns: int) -> Account:
    """Add an account; without a password it signs in by an OpenID provider or tokens alone."""
    if not name or len(name) > 64 or name != name.strip() or not name.isprintable():
        raise InvalidError(f"{name!r} is not an account name", hint="use 1 to 64 characters, no space at the ends")
    if session.scalar(sa.select(Account.id).where(Account.name == name)) is not None:
        raise ConflictError(f"there is an account '{name}' already")
    hashed = "" if password is None else _hash(password)
    account = Account(name=name, password_hash=hashed, role=role.value, created_ns=now_ns)
    session.add(account)
    session.flush()
    return account


class Credential(msgspec.Struct, frozen=True):
    """What was found for a name: whose it is, None for nobody's, and what their password is checked against."""

    owner: Identity | None
    stored: str

    def accept(self, password: str) -> Identity | None:
        """Return whose password this is, None if nobody's. A second factor is still to be asked.

        It takes a tenth of a second on purpose: with a session open, every commit to SQLite would wait for it.
        """
        try:
            _hasher.verify(self.stored, password[:PASSWORD_MAX])
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return None
        return self.owner


def find_credential(session: Session, name: str, via: str = "console") -> Credential:
    """Look up what somebody who signs in with that name is checked against."""
    account = session.scalar(sa.select(Account).where(Account.name == name))
    if account is None or not account.enabled or not account.password_hash:
        return Credential(None, _NOBODY)
    return Credential(identify(account, via), account.password_hash)


def find(session: Session, session_id: str) -> Identity | None:
    """Return the account that a session names, None once it is gone or its rights have changed."""
    number, _, version = session_id.partition(".")
    account = session.get(Account, int(number)) if _is_key(number) else None
    if account is None or not account.enabled or str(account.version) != version:
        return None
    return identify(account)


def get(session: Session, name: str) -> Account:
    """Return an account. Raises NotFoundError."""
    account = session.scalar(sa.select(Account).where(Account.name == name))
    if account is None:
        raise NotFoundError(f"there is no account '{name}'", hint="fengsui-fleet user list shows all")
    return account


def exists(session: Session, name: str) -> bool:
    """Tell whether an account has that name."""
    return session.scalar(sa.select(Account.id).where(Account.name == name)) is not None


def is_empty(session: Session) -> bool:
    """Tell whether nobody can sign in yet."""
    return session.scalar(sa.select(Account.id).limit(1)) is None


def list_all(session: Session) -> Sequence[Account]:
    """Return all accounts by name."""
    return session.scalars(sa.select(Account).order_by(Account.name)).all()


def list_sites(session: Session) -> dict[int, tuple[str, ...]]:
    """{account: the sites that it sees}, for accounts that have any."""
    found: dict[int, tuple[str, ...]] = {}
    query = sa.select(AccountSite.account_id, AccountSite.site_key).order_by(AccountSite.site_key)
    for account_id, key in session.execute(query):
        found[account_id] = (*found.get(account_id, ()), key)
    return found


def set_role(session: Session, name: str, role: Role) -> None:
    """Give another role. The account's sessions end; so for every change of rights."""
    account = get(session, name)
    if account.role != role.value:
        _keep_an_administrator(session, account)
        account.role = role.value
        end_sessions(account)


def set_sites(session: Session, name: str, keys: Collection[str]) -> None:
    """Say which sites an account of an enterprise sees."""
    account = get(session, name)
    known = set(session.scalars(sa.select(Site.key).where(Site.key.in_(keys))))
    if missing := sorted(set(keys) - known):
        raise NotFoundError(f"there is no site '{missing[0]}'", hint="add it with: fengsui-fleet site add")
    session.execute(sa.delete(AccountSite).where(AccountSite.account_id == account.id))
    session.add_all(AccountSite(account_id=account.id, site_key=key) for key in sorted(known))
    end_sessions(account)


def set_password(session: Session, name: str, password: str) -> None:
    """Give a new password."""
    account = get(session, name)
    account.password_hash = _hash(password)
    end_sessions(account)


def set_enabled(session: Session, name: str, enabled: bool) -> None:
    """Shut an account out, or let it in again. Its tokens follow."""
    account = get(session, name)
    if not enabled:
        _keep_an_administrator(session, account)
    account.enabled = enabled
    end_sessions(account)


def set_subject(session: Session, name: str, subject: str | None) -> None:
    """Say what an OpenID provider calls an account; None for no longer."""
    taken = session.scalar(sa.select(Account.name).where(Account.subject == subject, Account.name != name))
    if subject and taken:
        raise ConflictError(f"'{subject}' is the account '{taken}' already")
    account = get(session, name)
    account.subject = subject or None
    end_sessions(account)


def end_sessions(account: Account) -> None:
    """End every session that began before now."""
    account.version += 1


def identify(account: Account, via: str = "console", scopes: frozenset[Permission] | None = None) -> Identity:
    """Say who an account is, and what it may do within the scopes of a token."""
    role = Role(account.role)
    return Identity(
        id=account.id,
        name=account.name,
        role=role,
        version=account.version,
        granted=grant(role, scopes),
        second_factor=bool(account.totp_secret),
        via=via,
    )


def _hash(password: str) -> str:
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise InvalidError(
            "the password is too short or too long", hint=f"use {PASSWORD_MIN} to {PASSWORD_MAX} characters"
        )
    return _hasher.hash(password)


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _keep_an_administrator(session: Session, account: Account) -> None:
    """Refuse what would leave nobody to manage accounts."""
    others = sa.select(Account.id).where(
        Account.role == Role.ADMINISTRATOR.value, Account.enabled, Account.id != account.id
    )
    if account.role == Role.ADMINISTRATOR.value and session.scalar(others.limit(1)) is None:
        raise ConflictError(f"'{account.name}' is the only administrator", hint="make another one first")
