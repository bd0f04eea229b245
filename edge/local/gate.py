"""Who may see the page: tries at the site code with growing waits, and the sessions of those who knew it.

Pure: time is handed in, as seconds of a monotonic clock; tokens too. All of it is in memory only, so a restart signs
everybody out.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections import OrderedDict

import msgspec

SESSION_S = 12 * 3600.0
"""A session ends after this time, whatever was done in it: a shift."""
SESSIONS_MOST = 32
FREE_TRIES = 3
"""That many wrong codes in a row cost nothing: gloves."""
WAIT_MOST_S = 900.0
FORGET_S = 3600.0
FREE_TRIES_OVERALL = 30
WAIT_MOST_OVERALL_S = 30.0
"""Wrong codes from anywhere slow everybody down, but never lock the site out of its own page."""
ADDRESSES_MOST = 256


class Tries(msgspec.Struct):
    """Wrong codes in a row, and until when no other is looked at."""

    wrong: int = 0
    last_s: float = 0.0
    until_s: float = 0.0

    def add(self, now_s: float, free: int, most_s: float) -> None:
        """Count a wrong code: the wait doubles with each beyond the free ones."""
        if now_s - self.last_s > FORGET_S:
            self.wrong = 0
        self.wrong += 1
        self.last_s = now_s
        if self.wrong > free:
            self.until_s = now_s + min(most_s, 2.0 ** min(self.wrong - free, 20))


class Knocks:
    """How long whoever tries the code has to wait."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, Tries] = OrderedDict()
        self._overall = Tries()

    def wait_s(self, address: str, now_s: float) -> float:
        """Return how long to wait until a code from this address is looked at, 0 for not at all."""
        tries = self._by_address.get(neighbourhood(address), Tries())
        return max(0.0, tries.until_s - now_s, self._overall.until_s - now_s)

    def fail(self, address: str, now_s: float) -> None:
        """Count a wrong code."""
        key = neighbourhood(address)
        tries = self._by_address.pop(key, Tries())
        tries.add(now_s, FREE_TRIES, WAIT_MOST_S)
        self._by_address[key] = tries
        if len(self._by_address) > ADDRESSES_MOST:
            self._by_address.popitem(last=False)
        self._overall.add(now_s, FREE_TRIES_OVERALL, WAIT_MOST_OVERALL_S)

    def succeed(self, address: str) -> None:
        """Forget the wrong codes of an address; not those of all others."""
        self._by_address.pop(neighbourhood(address), None)


def neighbourhood(address: str) -> str:
    """Name what counts as one address: an IPv6 host has a whole /64 to itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))


class Session(msgspec.Struct):
    """Somebody who knew the code. ``notice`` is told once, on the next page: (is it a fault, the text)."""

    name: str
    form_token: str
    ends_s: float
    notice: tuple[bool, str] | None = None

    def owns(self, form_token: str) -> bool:
        """Tell whether a form came from a page of this session."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())


class Sessions:
    """All who are signed in, by the token in their cookie."""

    def __init__(self) -> None:
        self._by_token: OrderedDict[str, Session] = OrderedDict()

    def begin(self, token: str, form_token: str, name: str, now_s: float) -> Session:
        """Sign somebody in; the oldest session makes room if there are too many."""
        self._by_token[token] = session = Session(name, form_token, now_s + SESSION_S)
        if len(self._by_token) > SESSIONS_MOST:
            self._by_token.popitem(last=False)
        return session

    def find(self, token: str, now_s: float) -> Session | None:
        """Return the session of a cookie, None if there is none any more."""
        session = self._by_token.get(token)
        if session is not None and session.ends_s <= now_s:
            del self._by_token[token]
            return None
        return session

    def end(self, token: str) -> None:
        """Sign somebody out."""
        self._by_token.pop(token, None)
