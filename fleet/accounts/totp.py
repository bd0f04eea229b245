"""The second factor: codes of RFC 6238 (6 digits, 30 s), and recovery codes for a lost telephone."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import msgspec
import pyotp
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.accounts import service
from fleet.accounts.models import Account, RecoveryCode

STEP_S = 30
SLACK_STEPS = 1
"""A telephone's clock may be off by that many steps."""
RECOVERY_CODES = 10
RECOVERY_OCTETS = 10
NS = 1_000_000_000


class Enrolled(msgspec.Struct, frozen=True):
    """What is shown once: the secret as base 32, the address that an authenticator reads, and the recovery codes."""

    secret: str
    address: str
    recovery: tuple[str, ...]


def make_secret() -> str:
    """Make a secret, as base 32."""
    return pyotp.random_base32()


def make_address(secret: str, name: str) -> str:
    """Return what an authenticator reads off a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Fengsui")


def is_right(secret: str, code: str, now_ns: int) -> bool:
    """Tell whether a code is of this secret, which nobody has yet."""
    return find_step(secret, "".join(code.split()), now_ns // NS // STEP_S) is not None


def enrol(session: Session, name: str, secret: str = "") -> Enrolled:
    """Give an account a new second factor, ``secret`` or one made here; one that it had no longer works.

    Its sessions end.
    """
    account = service.get(session, name)
    account.totp_secret, account.totp_step = secret or make_secret(), 0
    service.end_sessions(account)
    codes = tuple(secrets.token_hex(RECOVERY_OCTETS) for _ in range(RECOVERY_CODES))
    session.execute(sa.delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    session.add_all(RecoveryCode(account_id=account.id, code_hash=_hash(code)) for code in codes)
    return Enrolled(account.totp_secret, make_address(account.totp_secret, name), codes)


def drop(session: Session, name: str) -> None:
    """Take the second factor away. The account's sessions end."""
    account = service.get(session, name)
    account.totp_secret = ""
    session.execute(sa.delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    service.end_sessions(account)


def accept(session: Session, account_id: int, code: str, now_ns: int) -> bool:
    """Tell whether a code is right, and use it up: a code of the telephone or a recovery code works once."""
    account = session.get(Account, account_id, with_for_update=True)
    if account is None or not account.totp_secret:
        return False
    given = "".join(code.split())
    step = find_step(account.totp_secret, given, now_ns // NS // STEP_S)
    if step is not None:
        is_new = step > account.totp_step
        account.totp_step = max(step, account.totp_step)
        return is_new
    used = sa.delete(RecoveryCode).where(
        RecoveryCode.account_id == account_id, RecoveryCode.code_hash == _hash(given.lower())
    )
    return session.execute(used.returning(RecoveryCode.code_hash)).first() is not None


def find_step(secret: str, code: str, step: int) -> int | None:
    """Return the step of 30 s since 1970 that a code belongs to, near ``step``; None if it is wrong."""
    made = pyotp.TOTP(secret)
    for near in range(step - SLACK_STEPS, step + SLACK_STEPS + 1):
        if near >= 0 and hmac.compare_digest(made.generate_otp(near).encode(), code.encode()):
            return near
    return None


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
