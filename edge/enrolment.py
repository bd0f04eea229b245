"""Getting an identity and keeping it: asks the fleet until it has one, and renews it in time.

`Door` is one exchange, in a thread; `Pace` says when the next is due; `Keeper` is the agent's task.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
import tomllib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.profile import Shelf
from edge.bundles import find_anchor, newest_ns, take
from edge.checklist import check_clock, check_step
from edge.clock import SystemClock
from edge.errors import ConfigurationError, EdgeError
from edge.identity import IdentityError, IdentityFolder
from edge.probing import Answer, Probe
from edge.trust import make_context
from provisioning.client import DoorError, ask, fetch_ca, is_certificate, read_url
from provisioning.codes import read_code
from provisioning.errors import KeyFileError, RequestError
from provisioning.keys import PUBLIC, write_file
from provisioning.kit.documents import Bundle
from wire.checklist import Check
from wire.claim import Enrol, Issued, Renew, Waiting

log = logging.getLogger(__name__)

FILE = "enrol.toml"
LINK_FIRST_S, LINK_MOST_S = 2.0, 60.0
"""Pauses while the fleet cannot be reached."""
REFUSED_FIRST_S, REFUSED_MOST_S = 60.0, 900.0
"""Pauses after a refusal: somebody has to mend something first."""
WAIT_LEAST_S, WAIT_MOST_S = 1.0, 300.0
"""Bounds of what the fleet may ask for between two looks."""
LOOK_S = 30.0
"""Between two looks whether a renewal is due."""
RENEWED_PAUSE_S = 21_600.0
"""After a renewal the next comes no sooner, whatever a clock says."""
PROBE_S = 1800.0
"""A broker that is not reached is asked so long whether it takes a renewed certificate."""
SETTLE_S = 300.0
"""Within that time the uplink must be connected by a new certificate, or the one before is used again."""
SETTLE_LOOK_S = 5.0
DOWN_S = 3600.0
"""Cut off from the broker for so long, the gateway renews: the broker may know better what time it is."""
SAY_AGAIN_S = 3600.0
"""The same is said once in that time, also where it alternates with something else."""
NS = 1_000_000_000


class EnrolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``enrol.toml``: where the fleet is, how to know it, and by what right this gateway gets in.

    Either ``ca_sha256`` or ``ca_file`` says whom to trust; without both the system's authorities. Without a ``claim``
    the gateway makes itself a local code, which a technician scans.
    """

    url: Annotated[str, Meta(description="the fleet's address, https://host[:port]")]
    ca_sha256: Annotated[
        str, Meta(description="SHA-256 of the fleet's authority, as `fengsui-fleet ca show` has it")
    ] = ""
    ca_file: Annotated[str, Meta(description="its certificate in PEM instead, relative to this file")] = ""
    claim: Annotated[str, Meta(description="claim code of the label; a local code is made if empty")] = ""

    def __post_init__(self) -> None:
        read_url(self.url)
        if self.claim:
            try:
                read_code(self.claim)
            except RequestError as error:
                raise ValueError(f"claim: {error}: {error.hint}") from error


def read_settings(path: Path) -> EnrolSettings:
    """Read ``enrol.toml``. Raises ConfigurationError that says what is wrong."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8-sig")), EnrolSettings)
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", hint="name the file with --enrol") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or not what is wanted
        raise ConfigurationError(f"{path}: {error}", hint='write: url = "https://fleet", ca_sha256, claim') from error


class Door:
    """The fleet's door as one gateway sees it. Blocks. Raises RequestError, DoorError or IdentityError."""

    def __init__(self, settings: EnrolSettings, folder: Path, identity: IdentityFolder, clock: SystemClock) -> None:
        self._settings = settings
        self._folder = folder
        self._identity = identity
        self._clock = clock
        self._took_ms: float | None = None

    def enrol(self) -> Issued | Waiting:
        """Ask for a first certificate."""
        given = self._identity.on_site()
        label = self._settings.claim or (given.order.claim if given else "")
        request = Enrol(
            claim=label or self._identity.local_code(),
            csr=self._identity.request(),
            kind="label" if label else "local",
            checks=self._check(),
        )
        began = time.monotonic()
        answer = ask(self._settings.url, request, self.context())
        self._took_ms = (time.monotonic() - began) * 1000
        return answer

    def _check(self) -> tuple[Check, ...]:
        """What is told to the technician who waits. That a secure connection works is shown by its arrival."""
        clock, url = check_clock(self._clock.state().quality), read_url(self._settings.url)
        began = time.monotonic()
        try:
            socket.getaddrinfo(url.hostname, url.port or 443, type=socket.SOCK_STREAM)
        except OSError:  # the question itself meets it again, and says so
            return (clock,)
        name = check_step("dns", (time.monotonic() - began) * 1000)
        return (clock, name, check_step("tls", self._took_ms)) if url.scheme == "https" else (clock, name)

    def renew(self, gateway: str) -> Issued | Waiting:
        """Ask for the next certificate."""
        return ask(self._settings.url, Renew(gateway=gateway, csr=self._identity.request()), self.context())

    def context(self) -> Any:
        """Make the TLS context for the fleet's address, None for http. Raises DoorError, IdentityError."""
        if self._settings.url.startswith("http:"):
            return None
        issued = self._identity.read()
        try:
            return make_context(
                self._trusted(),
                None,
                None,
                is_synced=self._clock.state().quality == "synced",
                floor_ns=issued.time_ns if issued else 0,
            )
        except OSError as error:
            raise DoorError(f"whom to trust cannot be read: {error}", hint="check ca_file in enrol.toml") from error

    def _trusted(self) -> Path | None:
        """Where the certificate to trust is, fetched if only its SHA-256 is known; None for the system's."""
        if self._settings.ca_file:
            return self._folder / self._settings.ca_file
        if not self._settings.ca_sha256:
            return None
        kept = self._identity.door_ca_file
        try:
            if not kept.exists() or not is_certificate(kept.read_bytes(), self._settings.ca_sha256):
                write_file(kept, fetch_ca(self._settings.url, self._settings.ca_sha256), PUBLIC)
        except KeyFileError as error:
            raise IdentityError(str(error), hint=error.hint) from error
        return kept


class Pace:
    """How long to wait before the next question. Pure, but for the chance that spreads gateways apart."""

    def __init__(self, jitter: random.Random) -> None:
        self._jitter = jitter
        self._link_s, self._refused_s = LINK_FIRST_S, REFUSED_FIRST_S

    def after(self, answer: Waiting | RequestError | EdgeError | DoorError) -> float:
        """Return the seconds to wait after an answer that was not yet the identity."""
        if isinstance(answer, Waiting):
            self._link_s, self._refused_s = LINK_FIRST_S, REFUSED_FIRST_S
            return self._spread(min(max(answer.retry_s, WAIT_LEAST_S), WAIT_MOST_S))
        if isinstance(answer, DoorError):
            pause_s, self._link_s = self._link_s, min(self._link_s * 2, LINK_MOST_S)
        else:
            pause_s, self._refused_s = self._refused_s, min(self._refused_s * 2, REFUSED_MOST_S)
        return self._spread(pause_s)

    def _spread(self, pause_s: float) -> float:
        return pause_s * (0.5 + self._jitter.random())


def is_due(issued: Issued, now_ns: int) -> bool:
    """Tell whether a certificate is to be renewed: when a third of its time is over."""
    return now_ns >= issued.time_ns + issued.renew_after_s * NS


class Keeper:
    """Run `run` as a task of the agent; or `enrol` alone. ``say`` is told what people should know, once each."""

    def __init__(
        self,
        door: Door,
        identity: IdentityFolder,
        clock: SystemClock,
        jitter: random.Random,
        say: Callable[[str, str], None],
        gateway: str = "",
        probe: Callable[[Issued], tuple[Answer, str]] = lambda _: (Answer.TAKEN, ""),
    ) -> None:
        self._door = door
        self._probe = probe
        self._identity = identity
        self._clock = clock
        self._jitter = jitter
        self._say = say
        self._gateway = gateway
        self._said: dict[tuple[str, str], float] = {}
        self.standing = ("", "")
        """What came of it last: the event, and the fleet's reason or words for people."""
        self._began_ns = clock.mono_ns()

    async def enrol(self) -> Issued:
        """Ask until there is an identity, and keep it."""
        issued = await self._ask_until_given("enrolled", self._door.enrol, _take_unseen)
        assert issued is not None
        return issued

    async def run(self, take: Callable[[Issued], None], is_connected: Callable[[], bool]) -> None:
        """Enrol if need be, then renew in time, until cancelled. ``take`` is told of each new identity."""
        issued = await asyncio.to_thread(self._identity.read)
        if issued is None:
            issued = await self.enrol()
            take(issued)
        while True:
            await self._wait_until_due(issued, is_connected)
            issued = await self._renew(issued, take, is_connected)
            await asyncio.sleep(RENEWED_PAUSE_S * (0.5 + self._jitter.random()))

    async def _renew(self, before: Issued, take: Callable[[Issued], None], is_connected: Callable[[], bool]) -> Issued:
        """Return the identity that is in use afterwards: the new one, or the one before if that alone opens."""
        renewed = await self._ask_until_given("renewed", partial(self._door.renew, before.gateway), self._is_taken)
        if renewed is None:
            return before
        was_connected = is_connected()
        take(renewed)
        if not was_connected or await self._connects(is_connected):
            return renewed
        try:
            await asyncio.to_thread(self._identity.keep, before, self._gateway)
        except IdentityError as error:
            self._tell("enrolment-fails", f"{error}. {error.hint}")
            return renewed
        self._tell("renewal-returned", "the broker did not let this gateway in by the new certificate")
        take(before)
        return before

    async def _is_taken(self, renewed: Issued) -> bool:
        """Ask the broker; one that is not reached for long is signed in at without being asked."""
        end = time.monotonic() + PROBE_S
        answer, why = await asyncio.to_thread(self._probe, renewed)
        while answer is Answer.UNKNOWN and time.monotonic() < end:
            await asyncio.sleep(LOOK_S * (0.5 + self._jitter.random()))
            answer, why = await asyncio.to_thread(self._probe, renewed)
        if answer is Answer.REFUSED:
            self._tell("renewal-refused", f"the broker does not take the new certificate, the old one goes on: {why}")
        return answer is not Answer.REFUSED

    async def _connects(self, is_connected: Callable[[], bool]) -> bool:
        """Whether the uplink, told to connect anew, has done so in time."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            await asyncio.sleep(SETTLE_LOOK_S)
            if is_connected():
                return True
        return False

    async def _wait_until_due(self, issued: Issued, is_connected: Callable[[], bool]) -> None:
        connected = time.monotonic()
        while True:
            if is_connected():
                connected = time.monotonic()
            if is_due(issued, self._newest_ns(issued)) or time.monotonic() - connected >= DOWN_S:
                return
            await asyncio.sleep(LOOK_S * (0.5 + self._jitter.random()))

    def _newest_ns(self, issued: Issued) -> int:
        """The newest that UTC can be said to be: a clock that is behind what the fleet has told counts for nothing."""
        mono_ns = self._clock.mono_ns()
        return max(self._clock.newest_at(mono_ns), issued.time_ns + mono_ns - self._began_ns)

    async def _ask_until_given(
        self, event: str, question: Callable[[], Issued | Waiting], is_taken: Callable[[Issued], Awaitable[bool]]
    ) -> Issued | None:
        """Return what was given and is kept now, None if it must not be used."""
        pace = Pace(self._jitter)
        while True:
            try:
                answer = await asyncio.to_thread(question)
                if isinstance(answer, Issued):
                    self._identity.check(answer, self._gateway)
                    if not await is_taken(answer):
                        return None
                    await asyncio.to_thread(self._identity.keep, answer, self._gateway)
                    self._clock.tell(answer.time_ns)
                    self._tell(event, f"as {answer.gateway}")
                    return answer
                pause_s = pace.after(answer)
                self._tell("enrolment-waits", answer.reason)
            except RequestError as error:
                pause_s = pace.after(error)
                self._tell("enrolment-refused", f"{error.name}: {error}. {error.hint}")
            except (DoorError, IdentityError) as error:
                pause_s = pace.after(error)
                self._tell("enrolment-fails", f"{error}. {error.hint}")
            await asyncio.sleep(pause_s)

    def _tell(self, event: str, detail: str) -> None:
        now = time.monotonic()
        self.standing = event, detail
        self._said = {line: at for line, at in self._said.items() if now - at < SAY_AGAIN_S}
        if (event, detail) not in self._said:
            self._said[event, detail] = now
            log.log(logging.INFO if event in {"enrolled", "renewed"} else logging.WARNING, "%s: %s", event, detail)
            self._say(event, detail)


async def _take_unseen(_issued: Issued) -> bool:
    """A first certificate has none before it to fall back to."""
    return True


class Enrolment:
    """How this gateway gets in: what ``enrol.toml`` says, and the identity on its disk."""

    def __init__(self, path: Path, data: Path) -> None:
        self._settings = read_settings(path)
        self._folder = path.parent
        self.identity = IdentityFolder(data)

    def trust(self, clock: SystemClock) -> Callable[[], Any]:
        """Return what makes the TLS context for the fleet's address. Raises DoorError, IdentityError when called."""
        return Door(self._settings, self._folder, self.identity, clock).context

    def keeper(self, clock: SystemClock, say: Callable[[str, str], None], gateway: str = "") -> Keeper:
        """Make what asks the fleet. ``gateway`` is the name that the configuration gives."""
        jitter = random.Random()  # noqa: S311 - spreads questions, guards nothing
        door = Door(self._settings, self._folder, self.identity, clock)
        probe = Probe(self.identity, lambda: clock.state().quality == "synced")
        return Keeper(door, self.identity, clock, jitter, say, gateway, probe.ask)

    def take(self, bundle: Bundle, gateway: str, shelf: Shelf, clock: SystemClock) -> str:
        """Take a laptop's bundle for this gateway, whose name is "" if it has none. Returns the name it gives.

        Raises RequestError whose name is the word of the refusal, or EdgeError; then all is as before.
        """
        ca_file = self._folder / self._settings.ca_file if self._settings.ca_file else None
        anchor = find_anchor(self._settings.ca_sha256, ca_file)
        return take(bundle, anchor, self.identity, gateway, newest_ns(clock), shelf).gateway

    @property
    def shows_code(self) -> bool:
        """Whether a technician has to scan a code that this gateway made itself."""
        return not self._settings.claim and self.identity.on_site() is None

    @property
    def url(self) -> str:
        """The fleet's address."""
        return self._settings.url


def find_enrolment(config: Path, enrol: Path | None, data: Path) -> Enrolment | None:
    """Return how this gateway gets in: by the file named, or the one beside its configuration; None if by a token."""
    path = enrol or config.parent / FILE
    return Enrolment(path, data) if enrol is not None or path.exists() else None
