"""Who may take waveforms by SeedLink: programs of the networks that the settings name, and who signs in by TLS."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from sqlalchemy.orm import Session

from fleet.accounts import scope, tokens
from fleet.accounts import service as accounts
from fleet.accounts.authorization import Permission
from fleet.accounts.guesses import Guesses
from fleet.accounts.service import Identity
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services

VIA = "seedlink"
USER, TOKEN = "USERPASS", "JWT"


class Door:
    """Counts wrong guesses over all connections."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._networks = services.settings.networks()
        self._guesses = Guesses(time.monotonic)

    def is_trusted(self, address: str) -> bool:
        """Tell whether an address lies in one of the networks that need no sign-in."""
        try:
            given = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = given.ipv4_mapped if isinstance(given, ipaddress.IPv6Address) else None
        return any((mapped or given) in network for network in self._networks)

    def admit(self, address: str, method: str, words: Sequence[str]) -> Identity | None:
        """Return whose name and password, or token of the API, these are; None for nobody who may read.

        A password is no use to an account with a second factor: it would go round it.
        """
        name = words[0] if method == USER else method
        if self._guesses.wait_s(name, address) > 0:
            return None
        account = self._find(method, words)
        if account is None or Permission.READ not in account.granted:
            self._note_failure(name, address)
            return None
        self._guesses.forget(name, address)
        return account

    def _find(self, method: str, words: Sequence[str]) -> Identity | None:
        if method != TOKEN and (method != USER or len(words) != 2):
            return None
        with self._services.database.reading() as session:
            if method == TOKEN:
                return tokens.authenticate(session, words[0], self._services.clock())
            credential = accounts.find_credential(session, words[0], VIA)
        account = credential.accept(words[1])
        return None if account is None or account.second_factor else account

    def _note_failure(self, name: str, address: str) -> None:
        self._guesses.note_failure(name, address)
        with self._services.database.writing() as session:
            known = accounts.exists(session, name)
            actor = Actor(name if known else "", VIA, address)
            audit.append(
                session, self._services.clock(), actor, "sign-in", outcome=audit.FAILED, detail={"known": known}
            )


class Visitor:
    """One client: whom it speaks for, and what it therefore sees."""

    def __init__(self, door: Door, services: Services, address: str) -> None:
        self._door = door
        self._services = services
        self._address = address
        self._account: Identity | None = None
        self._is_trusted = door.is_trusted(address)

    @property
    def may_read(self) -> bool:
        """Whether it gets any waveforms."""
        return self._is_trusted or self._account is not None

    def admit(self, method: str, words: Sequence[str]) -> bool:
        """Take what followed AUTH."""
        self._account = self._door.admit(self._address, method, words)
        return self._account is not None

    def reading(self) -> AbstractContextManager[Session]:
        """Open a session that sees what the client may see: an account's own sites, else all or nothing."""
        if self._account is not None:
            return scope.reading(self._services.database, self._account.scope)
        return scope.reading(self._services.database, None if self._is_trusted else scope.NOBODY)
