"""Accounts of people whom an OpenID provider signs in: made at first, their rights taken from each token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.accounts import service
from fleet.accounts.idtoken import OpenIdError, Person
from fleet.accounts.models import Account, AccountSite, Role
from fleet.accounts.service import Identity
from fleet.sites.models import Site


class Admission(msgspec.Struct, frozen=True):
    """What came of a token: the account, None if it gives no role, and {action: detail} of what changed by it."""

    name: str
    account: Identity | None
    changes: Mapping[str, Mapping[str, Any]]


def admit(session: Session, person: Person, now_ns: int) -> Admission:
    """Give somebody the rights that their token gives. The account is made if it is the first time.

    Without a role, an account that there is gets shut out: its sessions and tokens end. Raises OpenIdError for an
    account that is shut out, or whose name is taken; ConflictError where no administrator would be left; InvalidError
    for a name that no account can have.
    """
    account = session.scalar(sa.select(Account).where(Account.subject == person.subject))
    if account is not None and not account.enabled:
        raise OpenIdError("shut", f"the account '{account.name}' is shut out")
    if person.role is None:
        return _withdraw(session, person, account)
    changes: dict[str, Mapping[str, Any]] = {}
    if account is None:
        account = _add(session, person, person.role, now_ns)
        changes["user.add"] = {"role": person.role, "subject": person.subject}
    elif account.role != person.role:
        service.set_role(session, account.name, person.role)
        changes["user.role"] = {"role": person.role}
    sites = person.sites if person.role is Role.ENTERPRISE else ()
    if sites is not None and (known := _set_sites(session, account, sites)) is not None:
        changes["user.sites"] = {"sites": known}
    session.flush()
    return Admission(account.name, service.identify(account, "openid"), changes)


def _withdraw(session: Session, person: Person, account: Account | None) -> Admission:
    if account is None:
        return Admission(person.name, None, {})
    service.set_enabled(session, account.name, enabled=False)
    return Admission(account.name, None, {"user.shut": {"subject": person.subject}})


def _add(session: Session, person: Person, role: Role, now_ns: int) -> Account:
    if service.exists(session, person.name):
        raise OpenIdError("name", f"there is an account '{person.name}' already, and it is not {person.subject}")
    account = service.add(session, person.name, None, role, now_ns)
    account.subject = person.subject
    return account


def _set_sites(session: Session, account: Account, given: tuple[str, ...]) -> list[str] | None:
    """Set the sites that the fleet knows; other systems may share the provider. Returns them, None for no change."""
    known = set(session.scalars(sa.select(Site.key).where(Site.key.in_(given))))
    had = set(session.scalars(sa.select(AccountSite.site_key).where(AccountSite.account_id == account.id)))
    if known == had:
        return None
    service.set_sites(session, account.name, known)
    return sorted(known)
