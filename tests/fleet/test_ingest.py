"""Ingest with real workers, and without a broker: what it would publish is caught."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from fleet.backlog import Incoming
from fleet.bootstrap import Services, bootstrap
from fleet.configs import service as configs
from fleet.counts import Counts
from fleet.gateways import service as gateways
from fleet.ingest import WORKERS, Ingest
from fleet.metrics import IngestMetrics
from fleet.migrations import revisions
from fleet.readings.models import Record
from fleet.settings import Settings
from fleet.shard import Shard
from fleet.worker import LENGTH_OCTETS, Answer, Begin, Outcome, frame, serve
from tests.fleet import edge
from tests.fleet.broker_fixtures import until
from tests.fleet.conftest import both_databases
from wire.codec import KINDS, decode, encode
from wire.conversation import Ack, Batch, Greet, Hello, Welcome
from wire.parts import cut
from wire.record import Lane
from wire.topics import Down, Up, format_topic

STARTS_S = 20.0


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Desk:
    """A shard, and what its gateways would hear."""

    def __init__(self, services: Services) -> None:
        self.registry = CollectorRegistry()
        self.heard: list[tuple[str, Any]] = []
        self.notes = 0
        self.shard = Shard(services.settings.database(), IngestMetrics(self.registry), self._publish, self._note)

    async def _publish(self, answers: list[Answer]) -> None:
        self.heard += [(answer.gateway, decode(answer.payload, KINDS[answer.kind])) for answer in answers]

    def _note(self) -> None:
        self.notes += 1

    def put(self, kind: Up, message: Hello | Batch, gateway: str = edge.GATEWAY) -> None:
        self.shard.put(gateway, kind, edge.up(kind, message, gateway))

    async def hear(self, count: int = 1) -> list[Any]:
        await until(lambda: len(self.heard) >= count, timeout_s=STARTS_S)
        heard, self.heard = self.heard, []
        return [message for _, message in heard]

    async def open(self, gateway: str = edge.GATEWAY) -> str:
        self.put(Up.HELLO, edge.hello(gateway=gateway), gateway)
        (welcome,) = await self.hear()
        assert isinstance(welcome, Welcome)
        return welcome.session

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"fengsui_ingest_{name}_total", labels) or 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.shard.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def desk(services: Services) -> Desk:
    register(services, edge.GATEWAY)
    return Desk(services)


def register(services: Services, *names: str) -> None:
    with services.database.writing() as session:
        for name in names:
            gateways.register(session, name, "", None, 0)


def stored(services: Services) -> list[tuple[str, str, int]]:
    with services.database.reading() as session:
        rows = session.execute(sa.select(Record.gateway, Record.lane, Record.seq).order_by(Record.id))
        return [(row.gateway, row.lane, row.seq) for row in rows]


async def test_a_worker_commits_what_the_shard_takes_and_its_counts_come_back(desk: Desk, services: Services) -> None:
    async with desk.running():
        session = await desk.open()
        desk.put(Up.BATCH, edge.batch(session, 1, edge.scan(1, 1.0, 2.0), edge.scan(2, 1.0, 2.0)))
        assert await desk.hear() == [Ack(session=session, epoch="e1", lane=Lane.MEASUREMENTS, committed=2)]
    assert stored(services) == [(edge.GATEWAY, "M", 1), (edge.GATEWAY, "M", 2)]
    assert (desk.count("records", lane="M"), desk.count("samples"), desk.count("transactions")) == (2, 4, 2)
    assert (desk.shard.fault, desk.notes) == ("", 2)


async def test_an_alarm_is_committed_before_measurements_that_waited_longer(desk: Desk, services: Services) -> None:
    async with desk.running():
        session = await desk.open()
        for n in range(1, 41):  # all of this happens before the worker is given its next turn
            desk.put(Up.BATCH, edge.batch(session, n, edge.scan(n, 1.0, 2.0)))
        desk.put(Up.BATCH, edge.batch(session, 1, edge.alarm(1, "raised"), lane=Lane.ALARMS))
        acks = await desk.hear(2)
        assert [(ack.lane, ack.committed) for ack in acks] == [(Lane.ALARMS, 1), (Lane.MEASUREMENTS, 40)]
    rows = stored(services)
    assert rows[0] == (edge.GATEWAY, "A", 1)
    assert [seq for _, _, seq in rows[1:]] == list(range(1, 41))


async def test_what_one_transaction_does_not_take_is_taken_by_the_next(desk: Desk) -> None:
    async with desk.running():
        session = await desk.open()
        for n in range(4):
            desk.put(Up.BATCH, edge.batch(session, 1 + 3000 * n, *[b""] * 3000))
        acks = await desk.hear(2)
        assert [ack.committed for ack in acks] == [6000, 12_000]
    assert desk.count("refused") == 0


async def test_a_worker_that_is_killed_is_replaced_and_its_gateways_are_greeted(desk: Desk, services: Services) -> None:
    async with desk.running():
        session = await desk.open()
        desk.put(Up.BATCH, edge.batch(session, 1, edge.scan(1, 1.0, 2.0)))
        await desk.hear()
        killed = desk.shard.pid
        os.kill(killed, signal.SIGKILL)
        desk.put(Up.BATCH, edge.batch(session, 2, edge.scan(2, 1.0, 2.0)))  # dies with it
        await until(lambda: desk.shard.pid not in (0, killed), timeout_s=STARTS_S)
        desk.put(Up.BATCH, edge.batch(session, 2, edge.scan(2, 1.0, 2.0)))  # sent again
        (greet,) = await desk.hear()
        assert isinstance(greet, Greet)
        again = await desk.open()
        assert again != session
        desk.put(Up.BATCH, edge.batch(again, 2, edge.scan(2, 1.0, 2.0)))
        assert [ack.committed for ack in await desk.hear()] == [2]
    assert [seq for _, _, seq in stored(services)] == [1, 2]
    assert (desk.count("worker_deaths"), desk.count("dropped")) == (1, 1)


async def test_a_worker_that_died_while_nothing_was_to_do_is_noticed_by_the_next_turn(desk: Desk) -> None:
    async with desk.running():
        session = await desk.open()
        killed = desk.shard.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: not is_alive(killed), timeout_s=STARTS_S)
        await asyncio.sleep(0.1)  # the loop hears of it
        desk.put(Up.BATCH, edge.batch(session, 1, edge.scan(1, 1.0, 2.0)))
        await until(lambda: desk.count("worker_deaths") == 1, timeout_s=STARTS_S)
        assert await desk.open() != session


async def test_a_worker_that_cannot_be_started_is_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nowhere/python")
        running = desk.running()
        await running.__aenter__()
        await until(lambda: desk.count("worker_deaths") == 1, timeout_s=STARTS_S)
    assert await desk.open()
    await running.__aexit__(None, None, None)


async def test_a_worker_ends_with_its_shard(desk: Desk) -> None:
    async with desk.running():
        await desk.open()
        pid = desk.shard.pid
    assert desk.shard.pid == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_worker_that_does_not_end_is_killed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.shard.END_WITHIN_S", 0.1)
    async with desk.running():
        await desk.open()
        os.kill(desk.shard.pid, signal.SIGSTOP)
        pid = desk.shard.pid
    await until(lambda: not is_alive(pid), timeout_s=STARTS_S)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_messages_that_find_no_room_are_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.shard._backlog, "_most_octets", 0)
    desk.put(Up.BATCH, edge.batch("s", 1, edge.scan(1, 1.0, 2.0)))
    assert desk.count("dropped") == 1


async def test_a_database_that_does_not_commit_answers_nothing_until_it_does(tmp_path) -> None:
    services = bootstrap(Settings(data_dir=tmp_path, broker_password="x", secret_key="y"))
    desk = Desk(services)
    async with desk.running():
        desk.put(Up.HELLO, edge.hello())
        await until(lambda: desk.notes > 0, timeout_s=STARTS_S)
        assert "no such table" in desk.shard.fault
        assert (desk.heard, desk.count("dropped")) == ([], 1)
        revisions.upgrade(services.database.engine)
        register(services, edge.GATEWAY)
        assert await desk.open()
        assert desk.shard.fault == ""
    services.close()


class Broken(io.BytesIO):
    """An output whose reader has gone."""

    def flush(self) -> None:
        raise BrokenPipeError


def turns(services: Services, *some: list[Incoming]) -> io.BytesIO:
    begin = Begin(services.settings.database(), 30)
    return io.BytesIO(frame(begin) + b"".join(map(frame, some)))


def outcomes(octets: bytes) -> list[Outcome]:
    found = []
    while octets:
        end = LENGTH_OCTETS + int.from_bytes(octets[:LENGTH_OCTETS], "big")
        found.append(msgspec.msgpack.decode(octets[LENGTH_OCTETS:end], type=Outcome))
        octets = octets[end:]
    return found


def test_a_worker_answers_turn_by_turn_until_there_are_no_more(services: Services) -> None:
    register(services, edge.GATEWAY)
    stranger = edge.up(Up.HELLO, edge.hello(gateway="gw-stranger"), gateway="gw-stranger")
    written = io.BytesIO()
    serve(turns(services, [edge.up(Up.HELLO, edge.hello())], [stranger, stranger]), written)
    first, second = outcomes(written.getvalue())
    assert [(answer.gateway, answer.kind) for answer in first.answers] == [(edge.GATEWAY, Down.WELCOME)]
    assert (second.taken, second.answers, second.counts) == (2, [], Counts(unregistered=2))


def test_a_worker_tells_why_the_database_does_not_commit(services: Services) -> None:
    with services.database.writing() as session:
        session.execute(sa.text("DROP TABLE reading_hour"))
        session.execute(sa.text("ALTER TABLE gateway RENAME TO elsewhere"))
    written = io.BytesIO()
    serve(turns(services, [edge.up(Up.HELLO, edge.hello())]), written)
    (outcome,) = outcomes(written.getvalue())
    assert (outcome.taken, outcome.answers) == (1, [])
    assert "gateway" in outcome.fault


def test_a_turn_that_is_cut_short_is_not_committed(services: Services) -> None:
    written = io.BytesIO()
    whole = turns(services, [edge.up(Up.HELLO, edge.hello())]).getvalue()
    serve(io.BytesIO(whole[:-1]), written)
    assert written.getvalue() == b""


def test_a_worker_ends_when_nobody_reads_its_answers(services: Services) -> None:
    serve(turns(services, [edge.up(Up.HELLO, edge.hello())], [edge.up(Up.HELLO, edge.hello())]), Broken())


def test_counts_add_up_key_by_key() -> None:
    total = Counts(records={"M": 1}, samples=2)
    total.add(Counts(records={"M": 2, "A": 1}, lost={"M": 3}, samples=4, greeted=1))
    assert total == Counts(records={"M": 3, "A": 1}, lost={"M": 3}, samples=6, greeted=1)


class Wire:
    """A connection that keeps what is published, or is broken."""

    def __init__(self, *, broken: bool = False) -> None:
        self.published: list[tuple[str, bytes]] = []
        self._broken = broken

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        if self._broken:
            raise aiomqtt.MqttError("the connection is lost")
        assert qos == 1
        self.published.append((topic, payload))


def test_the_number_of_workers_is_a_setting_and_suits_the_database_otherwise(services: Services) -> None:
    kind = services.database.engine.dialect.name
    assert len(Ingest(services).shards) == WORKERS[kind]
    settings = msgspec.structs.replace(services.settings, ingest_workers=3)
    assert len(Ingest(bootstrap(settings)).shards) == 3


async def test_one_gateway_always_goes_to_the_same_shard_and_all_shards_have_some(services: Services) -> None:
    ingest = Ingest(bootstrap(msgspec.structs.replace(services.settings, ingest_workers=4)))
    names = [f"gw-many-{n:04d}" for n in range(100)]
    for name in names * 2:
        ingest._sort(format_topic(name, Up.HEALTH), b"")
    waiting = [len(shard._backlog) for shard in ingest.shards]
    assert sum(waiting) == len(names)  # the second health took the place of the first
    assert min(waiting) > 10


async def test_gateways_of_several_workers_are_all_answered_in_their_own_order(services: Services) -> None:
    ingest = Ingest(bootstrap(msgspec.structs.replace(services.settings, ingest_workers=3)))
    ingest._client = wire = Wire()  # type: ignore[assignment]
    names = [f"gw-many-{n:04d}" for n in range(12)]
    register(services, *names)
    running = [asyncio.create_task(shard.run()) for shard in ingest.shards]
    try:
        sessions = {}
        for name in names:
            ingest._sort(format_topic(name, Up.HELLO), edge.up(Up.HELLO, edge.hello(gateway=name)).payload)
        await until(lambda: len(wire.published) == len(names), timeout_s=STARTS_S)
        for topic, payload in wire.published:
            sessions[topic.split("/")[2]] = decode(payload, Welcome).session
        assert len({session.split("-")[0] for session in sessions.values()}) == 3  # each worker mints its own
        for n in range(1, 21):
            for name in names:
                batch = edge.batch(sessions[name], n, edge.scan(n, 1.0, 2.0))
                ingest._sort(format_topic(name, Up.BATCH), edge.up(Up.BATCH, batch).payload)
        await until(lambda: len(stored(services)) == 20 * len(names), timeout_s=STARTS_S)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    rows = stored(services)
    assert Counter(name for name, _, _ in rows) == dict.fromkeys(names, 20)
    for name in names:
        assert [seq for gateway, _, seq in rows if gateway == name] == list(range(1, 21))
    assert ingest.registry.get_sample_value("fengsui_ingest_refused_total") == 0


def test_a_topic_that_is_none_of_ours_is_counted_and_goes_nowhere(services: Services) -> None:
    ingest = Ingest(services)
    ingest._sort("fs/2/gw-yufu-0001/up/batch", b"")
    assert ingest.registry.get_sample_value("fengsui_ingest_undecodable_total", {"kind": "topic"}) == 1
    assert [len(shard._backlog) for shard in ingest.shards] == [0] * len(ingest.shards)


async def test_what_cannot_be_answered_is_left_to_be_asked_again(services: Services) -> None:
    ingest = Ingest(services)
    answers = [Answer(edge.GATEWAY, Down.ACK, b"ack")]
    await ingest._answer(answers)
    ingest._client = Wire(broken=True)  # type: ignore[assignment]
    await ingest._answer(answers)
    ingest._client = wire = Wire()  # type: ignore[assignment]
    await ingest._answer(answers)
    assert wire.published == [(format_topic(edge.GATEWAY, Down.ACK), b"ack")]


async def test_a_configuration_is_offered_again_after_a_welcome(services: Services) -> None:
    register(services, edge.GATEWAY)
    with services.database.writing() as session:
        configs.put(session, edge.GATEWAY, {"bus": []}, 0, "admin", 0)
    ingest = Ingest(services)
    ingest._client = wire = Wire()  # type: ignore[assignment]
    desired = (format_topic(edge.GATEWAY, Down.DESIRED),)

    async def offer(seconds: float) -> int:
        wire.published.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ingest._offer_desired(wire)  # type: ignore[arg-type]
        return sum(topic in desired for topic, _ in wire.published)

    assert await offer(0.3) == 1
    assert await offer(0.3) == 0
    await ingest._answer([Answer(edge.GATEWAY, Down.WELCOME, b"")])
    assert await offer(0.3) == 1


async def test_a_database_that_cannot_be_read_makes_ingest_unwell_until_it_can(services: Services) -> None:
    ingest = Ingest(services)
    ingest._client = Wire()  # type: ignore[assignment]
    with services.database.writing() as session:
        session.execute(sa.text("ALTER TABLE desired RENAME TO elsewhere"))
    assert await ingest._outstanding() == []
    assert ingest.health() == {"ok": False, "database": False, "broker": True}
    with services.database.writing() as session:
        session.execute(sa.text("ALTER TABLE elsewhere RENAME TO desired"))
    assert await ingest._outstanding() == []
    assert ingest.health() == {"ok": True, "database": True, "broker": True}


async def test_a_broker_that_cannot_be_reached_is_told_once(services: Services, caplog) -> None:
    ingest = Ingest(services)
    for _ in range(2):
        ingest._lost_broker(OSError("refused"))
    assert caplog.text.count("cannot be reached") == 1


def waiting(ingest: Ingest) -> list[tuple[str, bytes]]:
    return [(entry.incoming.topic, entry.incoming.payload) for entry in ingest.shards[0]._backlog.take()]


def test_message_in_parts_waits_like_a_whole_one_and_a_part_of_none_goes_on_to_quarantine(services: Services) -> None:
    ingest = Ingest(services)
    hello = encode(edge.hello())
    parts = [encode(part) for part in cut(Up.HELLO, 1, hello, 20)]
    assert len(parts) > 2
    topic = format_topic(edge.GATEWAY, Up.PART)
    for payload in parts[:-1]:
        ingest._sort(topic, payload)
    assert waiting(ingest) == []
    ingest._sort(topic, b"no part")
    assert waiting(ingest) == [(topic, b"no part")]
    ingest._sort(topic, parts[-1])
    assert waiting(ingest) == [(format_topic(edge.GATEWAY, Up.HELLO), hello)]


class Line:
    """Connections whose reader finds out that they are lost, once `is_cut` is set, or in the moment of its own end."""

    def __init__(self) -> None:
        self.opened = 0
        self.is_read, self.is_cut = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Line]:
        self.opened += 1
        yield self

    @property
    async def messages(self) -> AsyncIterator[aiomqtt.Message]:
        self.is_read.set()
        with suppress(asyncio.CancelledError):
            await self.is_cut.wait()
        raise aiomqtt.MqttError("Disconnected during message iteration")
        yield


@pytest.mark.parametrize("losses", [0, 1, 3])
async def test_ingest_connects_anew_until_told_to_end_and_ends_though_the_broker_is_lost(
    services: Services, losses: int
) -> None:
    ingest = Ingest(services)
    line = Line()
    ingest._connected = line.connected  # type: ignore[assignment,method-assign]
    running = asyncio.create_task(ingest.run())
    for _ in range(losses):
        await line.is_read.wait()
        line.is_read.clear()
        line.is_cut.set()
        await asyncio.sleep(0)
        line.is_cut.clear()
    async with asyncio.timeout(STARTS_S):
        await line.is_read.wait()
    assert line.opened == losses + 1
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=STARTS_S)
    assert done
    assert running.cancelled()
