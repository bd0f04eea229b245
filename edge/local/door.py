"""Who gets in on site: by the site code, with growing waits after wrong ones. One door for the page and for laptops."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

import msgspec

from edge.local.code import CODE_MOST, SiteCode
from edge.local.gate import Knocks, Session, Sessions


class Entered(msgspec.Struct, frozen=True):
    """A session, and the token that shows it."""

    token: str
    session: Session


class TurnedAway(msgspec.Struct, frozen=True):
    """``wait_s`` is how long no code from there is looked at; 0 for a wrong code."""

    wait_s: float = 0.0


class SiteDoor:
    """Lets in who knows the code, and finds the sessions of those who did."""

    def __init__(self, code: SiteCode, now_s: Callable[[], float] = time.monotonic) -> None:
        self._code = code
        self._now_s = now_s
        self._knocks = Knocks()
        self._sessions = Sessions()
        self._trying = asyncio.Lock()

    async def enter(self, address: str, code: str, name: str) -> Entered | TurnedAway:
        """Try a code. One at a time: hashing takes memory, and a wait counts for whoever comes next."""
        async with self._trying:
            wait_s = self._knocks.wait_s(address, self._now_s())
            if wait_s > 0:
                return TurnedAway(wait_s)
            if len(code) > CODE_MOST or not await asyncio.to_thread(self._code.fits, code):
                self._knocks.fail(address, self._now_s())
                return TurnedAway()
            self._knocks.succeed(address)
        token = secrets.token_urlsafe(32)
        return Entered(token, self._sessions.begin(token, secrets.token_urlsafe(32), name, self._now_s()))

    def find(self, token: str) -> Session | None:
        """Return the session that a token shows, None if there is none any more."""
        return self._sessions.find(token, self._now_s())

    def leave(self, token: str) -> None:
        """End a session."""
        self._sessions.end(token)
