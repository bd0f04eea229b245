"""Commit what gateways sent: several messages in one transaction, and what to answer once it has been committed.

    messages --decode--> decide --store--> COMMIT --> replies (ack, refused, welcome, greet)

Nothing is answered before the commit. A database error drops the messages from memory and forgets every session: the
edges still hold the records, say hello and send them again. A message that the database itself cannot take is halved
down to one record, and that one is quarantined. One transaction is bounded by what its messages decode to, so that no
gateway can make the others wait for long.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.alarms import journal, own
from fleet.backlog import Incoming
from fleet.burden import find_excess, weigh
from fleet.commands import service as commands
from fleet.commissioning import checks as checklists
from fleet.conversation import WINDOW_OCTETS, GreetAgain, Refuse, decide
from fleet.counts import Counting, Counts
from fleet.db import Database, is_outage, take_turn
from fleet.diagnosis import service as diagnosis
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.ledger import service as ledger
from fleet.quakes import service as quakes
from fleet.readings import minutes, store
from fleet.readings.items import Item, Unreadable, escape_text, is_storable, read_items, unstorable
from fleet.readings.values import Values
from fleet.rollouts.offering import note_progress
from fleet.waveforms.index import Packets
from wire.checklist import Checklist
from wire.codec import KINDS, decode
from wire.conversation import Ack, Batch, Greet, Hello, Refused, Tombstone, Welcome
from wire.errors import WireError
from wire.health import Health
from wire.parts import Part
from wire.record import FileRecord, Layout, QuakeRecord, ScanRecord, WaveformRecord, layout_id
from wire.topics import Down, Up, parse_topic
from wire.twin import Reported
from wire.update import Progress

log = logging.getLogger(__name__)

GREET_EVERY_NS = 2_000_000_000
HEALTH_EVERY_NS = 5_000_000_000
QUARANTINED_MESSAGES_PER_MINUTE = 20
"""Most undecodable messages kept of one gateway in a minute, so that a broken one cannot fill the database."""
MINUTE_NS = 60_000_000_000
TRANSACTION_ROWS = 4096
TRANSACTION_OCTETS = 1024 * 1024
"""A transaction takes no further message once those it has decode to this much."""
SHOWN_REASON = 300


class Reply(msgspec.Struct, frozen=True):
    """What to tell a gateway."""

    gateway: str
    kind: Down
    message: Welcome | Ack | Refused | Greet


class _Message(msgspec.Struct, frozen=True):
    """A message of a gateway, read as far as possible. ``body`` is None when it could not be decoded.

    ``reason`` tells why not, or for a batch why the database could not take its one item.
    """

    gateway: str
    kind: Up
    body: Hello | Batch | Reported | Health | Checklist | Progress | None
    reason: str
    payload: bytes
    received_ns: int


class DatabaseDownError(Exception):
    """The database did not commit. The ingest loop logs it once, answers nothing and goes on with newer messages."""


class _UnstorableError(Exception):
    """The database works, but cannot take what one of the messages says."""


class Committer:
    """Commits messages of gateways, one call at a time, in one thread."""

    def __init__(self, database: Database, metrics: Counting, clock: Callable[[], int]) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._run = secrets.token_hex(6)
        self._tag_ids: dict[tuple[str, bytes], dict[str, int]] = {}
        self._layouts: dict[tuple[str, bytes], Layout] = {}
        self._greeted_ns: dict[str, int] = {}
        self._health_ns: dict[str, int] = {}
        self._spoiled: dict[str, tuple[int, int]] = {}

    def commit(self, incoming: Sequence[Incoming]) -> list[Reply]:
        """Commit all messages in their order and return the replies, as `commit_some` does."""
        replies, done = [], 0
        while done < len(incoming):
            some, taken = self.commit_some(incoming[done:])
            replies += some
            done += taken
        return _coalesce(replies)

    def commit_some(self, incoming: Sequence[Incoming]) -> tuple[list[Reply], int]:
        """Commit as many messages as one transaction may hold, at least one. Returns the replies and how many it took.

        Raises DatabaseDownError; nothing is answered then.
        """
        messages: list[_Message] = []
        taken = rows = octets = 0
        while taken < len(incoming) and rows < TRANSACTION_ROWS and octets < TRANSACTION_OCTETS:
            message = self._read(incoming[taken])
            taken += 1
            if message is not None:
                burden = weigh(message.body, message.payload)
                rows, octets = rows + burden.rows, octets + burden.octets
                messages.append(message)
        return (_coalesce(self._commit(messages)) if messages else []), taken

    def _commit(self, messages: Sequence[_Message]) -> list[Reply]:
        try:
            return self._transact(messages)
        except _UnstorableError as error:
            return self._halve(messages, str(error))

    def _transact(self, messages: Sequence[_Message]) -> list[Reply]:
        """Try messages in one transaction. Raises DatabaseDownError, or _UnstorableError if they are at fault.

        So they are for whatever is not the database's: a message that nobody foresaw must not stop all other gateways.
        """
        noted = dict(self._greeted_ns), dict(self._health_ns), dict(self._spoiled)
        try:
            return self._attempt(messages)
        except Exception as error:
            self._forget_rows()
            self._greeted_ns, self._health_ns, self._spoiled = noted  # none of it was answered, written down or kept
            reason = str(getattr(error, "orig", None) or error)
            if not (isinstance(error, SQLAlchemyError) and is_outage(error)):
                raise _UnstorableError(reason) from error
            self._forget_sessions()
            raise DatabaseDownError(reason) from error

    def _attempt(self, messages: Sequence[_Message]) -> list[Reply]:
        counts = Counts()
        with self._database.writing() as session:
            known = gateways.find_to_change(session, (message.gateway for message in messages))
            work = _Work(session, known, counts, self)
            replies = [reply for message in messages if (reply := work.handle(message)) is not None]
            work.finish()
        self._metrics.add(counts)
        return replies

    def _halve(self, messages: Sequence[_Message], reason: str) -> list[Reply]:
        if len(messages) > 1:
            middle = len(messages) // 2
            return self._commit(messages[:middle]) + self._commit(messages[middle:])
        message = messages[0]
        if isinstance(message.body, Batch) and len(message.body.items) > 1:
            first, second = _split(message.body)
            return self._commit([_with_body(message, first)]) + self._commit([_with_body(message, second)])
        return self._give_up(message, reason)

    def _give_up(self, message: _Message, reason: str) -> list[Reply]:
        """Keep what cannot be stored in ever plainer forms: the one record, then the message as octets, then nothing.

        The record comes first because it counts as committed and the gateway goes on; the octets are all that is left
        where even the names that a record is filed under cannot be stored.
        """
        shown = escape_text(reason)[:SHOWN_REASON]
        log.warning("gateway %s: its %s cannot be stored: %s", message.gateway, message.kind, shown)
        given_up = msgspec.structs.replace(message, reason=f"cannot be stored: {shown}")
        forms = [given_up] if isinstance(message.body, Batch) else []
        for form in (*forms, msgspec.structs.replace(given_up, body=None)):
            try:
                return self._transact([form])
            except _UnstorableError as error:
                log.debug("nor can it be quarantined: %s", error)
        self._metrics.add(Counts(undecodable={message.kind: 1}))
        log.error("gateway %s: its %s is not even quarantined: %s", message.gateway, message.kind, shown)
        return []

    def _read(self, incoming: Incoming) -> _Message | None:
        try:
            topic = parse_topic(incoming.topic)
        except WireError as error:
            self._metrics.add(Counts(undecodable={"topic": 1}))
            log.debug("ignored: %s", error)
            return None
        kind = topic.kind
        if not isinstance(kind, Up) or kind is Up.LIVE:
            return None
        body, reason = None, ""
        try:
            body = decode(incoming.payload, KINDS[kind])
        except WireError as error:
            reason = str(error)
        assert not isinstance(body, (Welcome, Ack, Refused, Greet))
        if isinstance(body, Part):
            body, reason = None, "a part of no message that can be"
        if excess := find_excess(body):
            body, reason = None, excess
        return _Message(topic.gateway, kind, body, reason, incoming.payload, incoming.received_ns)  # type: ignore[arg-type]

    def open_session(self, gateway: str) -> str:
        """Mint a session: known to this run only, so a restart greets everybody anew.

        What the gateway sent before it learns of the session needs no greeting: the welcome is on its way.
        """
        self._greeted_ns[gateway] = self._clock()
        return f"{self._run}-{secrets.token_hex(8)}"

    def in_force(self, gateway: Gateway) -> str:
        """Return the gateway's session, "" if this run did not open it."""
        return gateway.session if self.has_opened(gateway.session) else ""

    def has_opened(self, session: str) -> bool:
        """Tell whether this run opened a session, and the database has not been away since."""
        return session.startswith(self._run)

    def may_greet(self, gateway: str) -> bool:
        """Tell whether a greeting is due, and note it."""
        return self._due(self._greeted_ns, gateway, GREET_EVERY_NS)

    def may_note_health(self, gateway: str) -> bool:
        """Tell whether health is due to be written, and note it."""
        return self._due(self._health_ns, gateway, HEALTH_EVERY_NS)

    def may_keep(self, gateway: str) -> bool:
        """Tell whether one more undecodable message of this gateway is kept."""
        minute = self._clock() // MINUTE_NS
        since, count = self._spoiled.get(gateway, (minute, 0))
        count = count + 1 if since == minute else 1
        self._spoiled[gateway] = (minute, count)
        return count <= QUARANTINED_MESSAGES_PER_MINUTE

    def _due(self, last: dict[str, int], gateway: str, every_ns: int) -> bool:
        now = self._clock()
        if 0 <= now - last.get(gateway, -every_ns) < every_ns:  # below 0: the clock was put back
            return False
        last[gateway] = now
        return True

    def now_ns(self) -> int:
        """Return UTC."""
        return self._clock()

    def layout(self, session: Session, gateway: str, layout: bytes) -> Layout | None:
        """Return the columns of a scan, from memory or the database."""
        found = self._layouts.get((gateway, layout)) or gateways.find_layout(session, gateway, layout)
        if found is not None:
            self._layouts[gateway, layout] = found
        return found

    def keep_layouts(self, session: Session, gateway: str, layouts: dict[bytes, Layout]) -> None:
        """Keep the layouts that came with a batch, if they are what their ids say and every database takes them."""
        for name, layout in layouts.items():
            honest = layout_id(layout) == name and len(set(layout.tags)) == len(layout.tags) and is_storable(layout)
            if honest and self._layouts.get((gateway, name)) != layout:
                gateways.keep_layout(session, gateway, name, layout)
                self._layouts[gateway, name] = layout

    def tag_ids(self, session: Session, gateway: str, name: bytes, layout: Layout) -> dict[str, int]:
        """Return the ids of a layout's tags, from memory or the database. ``name`` is the layout's id."""
        key = (gateway, name)
        if key not in self._tag_ids:
            self._tag_ids[key] = gateways.tag_ids(session, gateway, layout.tags, layout.group)
        return self._tag_ids[key]

    def _forget_rows(self) -> None:
        # What the rolled-back transaction had added is not there.
        self._tag_ids.clear()
        self._layouts.clear()

    def _forget_sessions(self) -> None:
        # The database may have been restored behind our back: cursors are learned anew, by a hello.
        self._run = secrets.token_hex(6)
        self._greeted_ns.clear()


class _Work:
    """One transaction's work."""

    def __init__(self, session: Session, known: dict[str, Gateway], counts: Counts, committer: Committer) -> None:
        self._session = session
        self._known = known
        self._counts = counts
        self._committer = committer
        self._brought: list[tuple[str, Batch, list[Item], int]] = []

    def handle(self, message: _Message) -> Reply | None:
        gateway = self._known.get(message.gateway)
        if gateway is None:
            self._counts.unregistered += 1
            return None
        if gateway.barred_ns is not None:
            self._spoiled(message, "its identity was revoked")
            return None
        match message.body:
            case Batch() as batch:
                return self._batch(gateway, batch, message)
            case Hello() as hello:
                return self._hello(gateway, hello, message)
            case Reported() as reported:
                gateways.note_reported(self._session, gateway, reported, message.received_ns)
            case Health() as health:
                if self._committer.may_note_health(gateway.name):
                    gateways.note_health(gateway, health, message.received_ns)
            case Checklist() as told:
                checklists.note_reported(self._session, gateway.name, told.checks, message.received_ns)
            case Progress() as progress:
                note_progress(self._session, gateway.name, progress, message.received_ns)
            case _:
                self._spoiled(message, message.reason)
        return None

    def _hello(self, gateway: Gateway, hello: Hello, message: _Message) -> Reply | None:
        if hello.gateway != gateway.name:
            self._spoiled(message, f"hello of '{hello.gateway}' on the topic of '{gateway.name}'")
            return None
        if gateways.note_boot(gateway, hello.boot, hello.machine, message.received_ns):
            self._raise(gateway.name, own.CLONE, f"{hello.machine}, {gateway.machine}", message)
        opened = self._committer.open_session(gateway.name)
        cursors = gateways.welcome(self._session, gateway, hello, opened, message.received_ns)
        now = self._committer.now_ns()
        welcome = Welcome(
            session=opened,
            window=WINDOW_OCTETS,
            time=now,
            cursors=cursors,
            joins_parts=True,
            hello=hello.id,
            continues=self._committer.has_opened(hello.session),
        )
        return Reply(gateway.name, Down.WELCOME, welcome)

    def _batch(self, gateway: Gateway, batch: Batch, message: _Message) -> Reply | None:
        committed = gateways.committed(self._session, gateway.name, batch.epoch, batch.lane)
        decision = decide(self._committer.in_force(gateway), committed, batch)
        if isinstance(decision, GreetAgain):
            if not self._committer.may_greet(gateway.name):
                return None
            self._counts.greeted += 1
            return Reply(gateway.name, Down.GREET, Greet(reason=decision.reason, session=batch.session))
        if isinstance(decision, Refuse):
            self._counts.refused += 1
            refused = Refused(
                session=batch.session,
                round=batch.round,
                epoch=batch.epoch,
                lane=batch.lane,
                expected=decision.expected,
            )
            return Reply(gateway.name, Down.REFUSED, refused)
        self._counts.trimmed += decision.skip
        if decision.committed > committed:
            if batch.tombstone is not None:
                self._declare(batch, batch.tombstone, committed, message)
            else:
                self._store(batch, decision.skip, message)
            gateways.advance(self._session, gateway.name, batch.epoch, batch.lane, decision.committed, batch.boot)
        gateway.last_seen_ns = message.received_ns
        ack = Ack(session=batch.session, epoch=batch.epoch, lane=batch.lane, committed=decision.committed)
        return Reply(gateway.name, Down.ACK, ack)

    def _store(self, batch: Batch, skip: int, message: _Message) -> None:
        session, committer = self._session, self._committer
        gateway, received_ns = message.gateway, message.received_ns
        read: list[Item | Unreadable]
        if message.reason:
            read = unstorable(batch, skip, message.reason)
        else:
            committer.keep_layouts(session, gateway, batch.layouts)
            read = read_items(batch, skip, lambda name: committer.layout(session, gateway, name))
        items = [item for item in read if isinstance(item, Item)]
        self._brought.append((gateway, batch, items, received_ns))
        unreadable = [item for item in read if isinstance(item, Unreadable)]
        store.quarantine_items(session, gateway, batch, unreadable, received_ns)
        if unreadable:
            self._raise(gateway, own.UNREADABLE, unreadable[0].reason, message)
        self._counts.quarantined += len(unreadable)
        sums = ledger.Sums()
        for item in items:
            count = sums.at(item.captured_ns, received_ns)
            count.records += 1
            count.samples += item.samples
        for _ in unreadable:
            sums.at(None, received_ns).quarantined += 1
        lane = batch.lane.value
        ledger.add_counts(session, gateway, lane, sums, committer.now_ns())
        self._counts.records[lane] = self._counts.records.get(lane, 0) + len(items)
        self._counts.samples += sum(item.samples for item in items)

    def finish(self) -> None:
        """Write down the records of all batches, and what follows from them."""
        if not self._brought:
            return
        session, committer, values, packets = self._session, self._committer, Values(), Packets()
        felt = quakes.Taking(session)
        take_turn(session)
        ids = iter(store.add_records(session, self._brought))
        for gateway, batch, items, received_ns in self._brought:
            for item in items:
                record, record_id = item.record, next(ids)
                if isinstance(record, ScanRecord):
                    assert item.layout is not None
                    values.add(item, record_id, committer.tag_ids(session, gateway, record.layout, item.layout))
                elif isinstance(record, FileRecord):
                    diagnosis.note_part(session, gateway, record_id, record, received_ns)
                elif isinstance(record, WaveformRecord):
                    packets.add(gateway, record_id, record, item.counts, item.captured_ns)
                elif isinstance(record, QuakeRecord):
                    clock = batch.clock.quality
                    if felt.note(gateway, record_id, record, item.captured_ns, received_ns, clock):
                        journal.note_quake(session, gateway, record_id, record, item.captured_ns, received_ns)
                else:
                    journal.note(session, gateway, record_id, record, item.captured_ns, received_ns)
                    commands.note_answer(session, gateway, record_id, record, received_ns)
        values.insert(session)
        felt.settle(committer.now_ns())
        packets.insert(session)

    def _declare(self, batch: Batch, tombstone: Tombstone, committed: int, message: _Message) -> None:
        """Write down what the gateway no longer holds and we lack. A tombstone may reach back to what we have."""
        session, committer, gateway = self._session, self._committer, message.gateway
        loss = ledger.declare(session, gateway, batch, tombstone, committed, message.received_ns)
        log.warning(
            "gateway %s lost %d records of lane %s: %s", gateway, loss.records, batch.lane, escape_text(loss.reason)
        )
        if not message.reason:
            committer.keep_layouts(session, gateway, batch.layouts)
            minutes.keep(
                session,
                tombstone.minutes,
                batch.clock,
                lambda name: committer.layout(session, gateway, name),
                lambda layout, name: committer.tag_ids(session, gateway, name, layout),
                is_new=batch.first > committed,
            )
        sums = ledger.Sums()
        sums.at(loss.from_ns, message.received_ns).lost += loss.records
        ledger.add_counts(session, gateway, batch.lane.value, sums, committer.now_ns())
        self._counts.lost[batch.lane.value] = self._counts.lost.get(batch.lane.value, 0) + loss.records

    def _raise(self, gateway: str, alarm: own.Own, detail: str, message: _Message) -> None:
        shown = escape_text(detail)[:SHOWN_REASON]
        if own.raise_alarm(self._session, gateway, alarm, shown, message.received_ns):
            log.warning("gateway %s: %s (%s)", gateway, alarm.name, shown)

    def _spoiled(self, message: _Message, reason: str) -> None:
        self._counts.undecodable[message.kind] = self._counts.undecodable.get(message.kind, 0) + 1
        self._raise(message.gateway, own.UNREADABLE, reason, message)
        if self._committer.may_keep(message.gateway):
            store.quarantine_message(
                self._session, message.gateway, message.kind, reason, message.payload, message.received_ns
            )


def _with_body(message: _Message, body: Batch) -> _Message:
    return msgspec.structs.replace(message, body=body)


def _split(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.items) // 2
    first = msgspec.structs.replace(batch, items=batch.items[:middle])
    second = msgspec.structs.replace(batch, items=batch.items[middle:], first=batch.first + middle)
    return first, second


def _coalesce(replies: Sequence[Reply]) -> list[Reply]:
    """Keep only the last ack of each gateway, session, epoch and lane: acks are absolute."""
    kept: dict[object, Reply] = {}
    for index, reply in enumerate(replies):
        body = reply.message
        key = (reply.gateway, body.session, body.epoch, body.lane) if isinstance(body, Ack) else index
        kept.pop(key, None)
        kept[key] = reply
    return list(kept.values())
