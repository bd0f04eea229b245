"""Commands of the fleet: verify, judge, remember, carry out, answer (docs/adr/0010).

A command whose signature is not the fleet's, that is another gateway's, or that has expired, is ignored: captured
octets sent again do nothing and say next to nothing. What is taken is remembered on disk before anything is done, so
that it is done at most once, and answered by an event in lane A, which is the truth of what was done. What is urgent
is done first and remembered then. The disk is asked in a thread: a slow one holds up neither alarms nor outputs.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.clock import SystemClock
from edge.command_ledger import CommandLedger
from edge.errors import DocumentError
from edge.handlers import Handler
from edge.operating import OperationError
from edge.store import Store
from edge.supervise import end
from provisioning.signing import verify
from wire.command import DONE, FAILED, INTERRUPTED, LIFETIME_MOST_NS, REFUSED, Command, Order, decode_order
from wire.errors import DecodeError
from wire.record import AuditRecord

log = logging.getLogger(__name__)
T = TypeVar("T")

WAITING_MOST = 16
"""Commands that wait for their turn; more are dropped, and the fleet sends them again."""
AHEAD_MOST_NS = 300_000_000_000
"""A command issued so far in the future says that this gateway's clock, or the fleet's, is wrong."""
TELL_IGNORED_S = 3600.0
"""Ignored commands are counted, and told in lane A at most once in this time: anybody may send them again and again."""
DETAIL_MOST = 300


def why_ignored(order: Order, gateway: str, now_ns: int | None, floor_ns: int) -> str:
    """Say why a command of the fleet's is none for this gateway now, "" if it is. Pure.

    Without a time of its own only the floor tells that it has expired.
    """
    if order.gateway != gateway:
        return "another gateway's"
    if order.expires_ns <= floor_ns or (now_ns is not None and order.expires_ns <= now_ns):
        return "expired"
    if order.expires_ns - order.issued_ns > LIFETIME_MOST_NS:
        return "lives too long"
    return ""


def why_refused(order: Order, now_ns: int | None, handlers: Mapping[str, Handler]) -> str:
    """Say why a command cannot be carried out, "" if it can. Pure."""
    if now_ns is None:
        return "the clock of the gateway is unset: whether the command has expired is not known"
    if order.issued_ns > now_ns + AHEAD_MOST_NS:
        return "it was issued in the future: the clock of the gateway or of the fleet is wrong"
    if order.name not in handlers:
        return f"there is no command '{order.name}'"
    return ""


class Commander:
    """Hand commands to `take`, run `run` as a task, and `close` at the end."""

    def __init__(
        self,
        gateway: str,
        key: Ed25519PublicKey | None,
        ledger: CommandLedger,
        store: Store,
        clock: SystemClock,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._gateway = gateway
        self._key = key
        self._ledger = ledger
        self._disk = ThreadPoolExecutor(1, "commands")
        self._store = store
        self._clock = clock
        self._handlers = handlers
        self._waiting: asyncio.Queue[Command] = asyncio.Queue(WAITING_MOST)
        self._urgent: asyncio.Queue[Command] = asyncio.Queue(WAITING_MOST)
        self._tasks: set[asyncio.Task[None]] = set()
        self._doing: set[str] = set()
        """Commands that are being carried out, whether the disk knows of them yet or not."""
        self._broken: asyncio.Future[None] | None = None
        self._told_at = -math.inf
        self.ignored: dict[str, int] = {}
        """Commands that did nothing, by reason."""

    def pin(self, key: Ed25519PublicKey) -> None:
        """Know the fleet's commands by this key, unless one is known already."""
        self._key = self._key or key

    @property
    def names(self) -> tuple[str, ...]:
        """The commands that are carried out; none without a key."""
        return tuple(sorted(self._handlers)) if self._key is not None else ()

    def take(self, command: Command) -> None:
        """Take a command as it came; never waits."""
        try:
            (self._urgent if self._seems_urgent(command) else self._waiting).put_nowait(command)
        except asyncio.QueueFull:
            log.warning("too many commands at once: one is dropped, the fleet sends it again")

    def _seems_urgent(self, command: Command) -> bool:
        """Whether it says to be one that waits for no other; whose it is, is looked at when its turn comes."""
        try:
            handler = self._handlers.get(decode_order(command.order).name)
        except DecodeError:
            return False
        return handler is not None and handler.is_urgent

    async def run(self) -> None:
        """Carry out commands one after the other, until cancelled. What is urgent waits only for its like, and nothing
        waits for what is long."""
        self._broken = asyncio.get_running_loop().create_future()
        try:
            self._begin(self._answer_left(), "commands[left]")
            for name, queue in (("urgent", self._urgent), ("others", self._waiting)):
                self._begin(self._serve(queue), f"commands[{name}]")
            await self._broken
        finally:
            await end(*self._tasks)
            self._doing.clear()

    async def close(self) -> None:
        """Wait until the ledger has all that was to be remembered."""
        await asyncio.to_thread(self._disk.shutdown)

    async def _answer_left(self) -> None:
        """Answer what the agent was in the middle of when it ended."""
        for taken in self._ledger.unanswered:
            detail = f"{taken.name} of {taken.author}: the agent ended meanwhile"
            await self._answer(taken.id, INTERRUPTED, detail)

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        """Do something beside the rest. No task group: that cancels once, and a driver may take no notice."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    async def _serve(self, queue: asyncio.Queue[Command]) -> None:
        while True:
            command = await queue.get()
            try:
                await self.carry_out(command)
            except DocumentError as error:  # nothing was done: the fleet sends it again
                log.error("a command cannot be remembered, so it is not carried out: %s", error)

    async def carry_out(self, command: Command) -> None:
        """Do what a command says, if it is to be done. Raises DocumentError; then nothing was done."""
        order = self._read(command)
        if order is None:
            return
        now_ns = self._clock.wall_at(self._clock.mono_ns())
        if reason := why_ignored(order, self._gateway, now_ns, self._ledger.floor_ns):
            self._ignore(reason)
        elif not self._ledger.knows(order.id) and order.id not in self._doing:
            self._doing.add(order.id)
            try:
                await self._do(order, now_ns)
            except BaseException:
                self._doing.discard(order.id)
                raise

    async def _do(self, order: Order, now_ns: int | None) -> None:
        handler = self._handlers.get(order.name)
        if handler is not None and handler.is_urgent:
            outcome = await self._act(order, now_ns)
            await self._beside(self._remember_late(order, now_ns, outcome), order)
        elif not await self._remember(order, now_ns):
            self._ignore("too many")
            self._doing.discard(order.id)
        elif handler is not None and handler.is_long:
            await self._beside(self._conclude(order, now_ns), order)
        else:
            await self._conclude(order, now_ns)

    async def _beside(self, work: Coroutine[None, None, None], order: Order) -> None:
        """Do the rest of a command while others have their turn, if `run` runs."""
        if self._broken is None:
            await work
        else:
            self._begin(work, f"command[{order.id}]")

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        """Ask the ledger, in its thread; to the end even when the caller is cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments))

    async def _remember(self, order: Order, now_ns: int | None) -> bool:
        """Remember a command; tell whether there was room. Raises DocumentError."""

        def remember() -> bool:
            if now_ns is not None:
                self._ledger.forget(now_ns)
            if self._ledger.is_full:
                return False
            self._ledger.take(order)
            return True

        return await self._on_disk(remember)

    async def _remember_late(self, order: Order, now_ns: int | None, outcome: tuple[str, str]) -> None:
        """Remember and answer what was done. If that fails it is done anew when it comes anew, until it expires."""
        try:
            await self._remember(order, now_ns)
        except DocumentError as error:
            log.error("a command was carried out though it cannot be remembered: %s", error)
        await self._finish(order, outcome)

    async def _conclude(self, order: Order, now_ns: int | None) -> None:
        await self._finish(order, await self._act(order, now_ns))

    async def _finish(self, order: Order, outcome: tuple[str, str]) -> None:
        await self._answer(order.id, *outcome)
        self._doing.discard(order.id)

    def _read(self, command: Command) -> Order | None:
        if self._key is None:
            self._ignore("no key")
            return None
        try:
            order = verify(self._key, command)
        except DecodeError as error:  # signed, but by a later release
            log.warning("a command cannot be read: %s", error)
            self._ignore("unreadable")
            return None
        if order is None:
            self._ignore("badly signed")
        return order

    async def _act(self, order: Order, now_ns: int | None) -> tuple[str, str]:
        by = f"{order.name} of {order.author}"
        if reason := why_refused(order, now_ns, self._handlers):
            return REFUSED, f"{by}: {reason}"
        handler = self._handlers[order.name]
        try:
            arguments = msgspec.convert(order.arguments, handler.arguments)
        except msgspec.ValidationError as error:
            return REFUSED, f"{by}: {error}"
        log.info("command %s", by)
        try:
            return DONE, f"{by}: {await handler.act(arguments, order)}"
        except OperationError as error:
            return REFUSED, f"{by}: {error}; {error.hint}"
        except (OSError, ValueError, RuntimeError) as error:
            return FAILED, f"{by}: {error}"

    async def _answer(self, command_id: str, event: str, detail: str) -> None:
        """Answer in lane A, and note that once it is durable; else the next start answers that it was interrupted."""
        mono = self._clock.mono_ns()
        log.info("%s: %s", event, detail)
        self._store.put_event(AuditRecord(mono, self._clock.wall_at(mono), event, detail[:DETAIL_MOST], command_id))
        if await self._store.commit():
            try:
                await self._on_disk(self._ledger.note_answer, command_id)
            except DocumentError as error:
                log.error("that command %s was answered cannot be remembered: %s", command_id, error)

    def _ignore(self, reason: str) -> None:
        self.ignored[reason] = self.ignored.get(reason, 0) + 1
        now_s = self._clock.mono_ns() / 1e9
        if now_s - self._told_at >= TELL_IGNORED_S:
            self._told_at = now_s
            log.warning("a command was ignored: %s", reason)
            self._store.put_audit("command-ignored", reason)
