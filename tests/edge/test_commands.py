"""Commands on a gateway: done once, answered once, and captured octets sent again do nothing."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.clock import SET_FLOOR_NS, SystemClock
from edge.command_ledger import COMMANDS_MOST, CommandLedger
from edge.commands import TELL_IGNORED_S, WAITING_MOST, Commander, why_ignored
from edge.errors import DocumentError
from edge.handlers import Handler, LogLevel, LogLevelArguments, NoArguments
from edge.supervise import end
from provisioning.signing import make_private_key, read_private_key, sign
from tests.edge.test_outputs_on_site import until
from wire.command import DONE, FAILED, INTERRUPTED, LIFETIME_MOST_NS, REFUSED, Command, Order
from wire.record import AuditRecord, Record

GATEWAY = "gw-test-0001"
NS = 1_000_000_000
NOW_NS = 1_790_000_000 * NS
KEY, STRANGER = read_private_key(make_private_key()), read_private_key(make_private_key())


class Machine:
    """The clocks of a machine, moved by hand. ``wall_ns`` 0 is a clock that was never set."""

    def __init__(self) -> None:
        self.mono_ns = 1000 * NS
        self.wall_ns = NOW_NS

    def advance(self, seconds: float) -> None:
        self.mono_ns += int(seconds * NS)
        self.wall_ns += int(seconds * NS)


class KeptEvents:
    """A store that takes events, and can be told that the disk takes none."""

    def __init__(self) -> None:
        self.events: list[Record] = []
        self.takes = True

    def put_event(self, record: Record) -> None:
        self.events.append(record)

    def put_audit(self, event: str, detail: str) -> None:
        self.put_event(AuditRecord(0, None, event, detail))

    async def commit(self) -> bool:
        return self.takes


class Gateway:
    """A gateway's commands. `restart` keeps what is on the disk and the machine's clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "commands.json"
        self.machine = Machine()
        self.store = KeptEvents()
        self.done: list[str] = []
        self.recorded = asyncio.Event()
        self.deed: Callable[[], Awaitable[str]] | None = None
        self.restart()

    def restart(self) -> None:
        self.clock = SystemClock(lambda: self.machine.mono_ns, lambda: self.machine.wall_ns, lambda: False)
        self.ledger = CommandLedger(self.path)
        handlers = {
            "report": Handler(NoArguments, self._report),
            "record": Handler(NoArguments, self._record, is_long=True),
            "log-level": Handler(LogLevelArguments, LogLevel(logging.getLogger("tests.commands")).act),
        }
        self.commander = Commander(GATEWAY, KEY.public_key(), self.ledger, self.store, self.clock, handlers)

    async def _report(self, _: NoArguments, _order: Order) -> str:
        if self.deed is not None:
            return await self.deed()
        self.done.append("report")
        return "reported"

    async def _record(self, _: NoArguments, _order: Order) -> str:
        await self.recorded.wait()
        return "recorded"

    async def take(self, *commands: Command) -> None:
        for command in commands:
            await self.commander.carry_out(command)

    @property
    def answers(self) -> list[tuple[str, str]]:
        return [(r.command, r.event) for r in self.store.events if isinstance(r, AuditRecord) and r.command]


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def command(command_id: str = "c1", key=KEY, **changes) -> Command:
    order = Order(
        id=command_id, gateway=GATEWAY, name="report", issued_ns=NOW_NS, expires_ns=NOW_NS + 3600 * NS, author="li"
    )
    return sign(key, msgspec.structs.replace(order, **changes))


async def test_command_is_done_and_answered_in_lane_a_with_who_and_what(gateway: Gateway) -> None:
    await gateway.take(command())
    assert gateway.done == ["report"]
    (record,) = gateway.store.events
    assert record == AuditRecord(1000 * NS, NOW_NS, DONE, "report of li: reported", "c1")


async def test_command_sent_again_is_neither_done_nor_answered_again(gateway: Gateway) -> None:
    await gateway.take(command(), command(), command("c2"), command())
    assert gateway.done == ["report", "report"]
    assert gateway.answers == [("c1", DONE), ("c2", DONE)]


async def test_captured_octets_do_nothing_after_a_restart_after_the_expiry_and_after_the_clock_went_back(
    gateway: Gateway,
) -> None:
    captured = command()
    await gateway.take(captured)
    gateway.restart()
    await gateway.take(captured)
    gateway.machine.advance(4000)
    await gateway.take(captured, command("c2", issued_ns=NOW_NS + 4000 * NS, expires_ns=NOW_NS + 5000 * NS))
    assert not gateway.ledger.knows("c1"), "it was forgotten"
    gateway.machine.wall_ns = NOW_NS
    await gateway.take(captured)
    gateway.restart()
    await gateway.take(captured)
    gateway.machine.wall_ns = 0
    await gateway.take(captured)
    gateway.clock.tell(NOW_NS)
    await gateway.take(captured)
    assert gateway.answers == [("c1", DONE), ("c2", DONE)]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (command(key=STRANGER), "badly signed"),
        (command(gateway="gw-test-0002"), "another gateway's"),
        (command(expires_ns=NOW_NS), "expired"),
        (command(issued_ns=NOW_NS - 1, expires_ns=NOW_NS + LIFETIME_MOST_NS), "lives too long"),
        (Command(order=b"\xc1", signature=KEY.sign(b"fengsui command 1\0\xc1")), "unreadable"),
    ],
)
async def test_what_is_not_for_us_now_is_ignored_counted_and_told_once_an_hour(gateway, made, reason) -> None:
    await gateway.take(made, made, made)
    assert (gateway.done, gateway.answers, gateway.commander.ignored) == ([], [], {reason: 3})
    assert [(r.event, r.detail) for r in gateway.store.events] == [("command-ignored", reason)]
    gateway.machine.advance(TELL_IGNORED_S)
    gateway.machine.wall_ns = NOW_NS
    await gateway.take(made)
    assert len(gateway.store.events) == 2
    assert not gateway.ledger.unanswered


async def test_without_a_key_every_command_is_ignored_and_none_is_reported(gateway: Gateway) -> None:
    keyless = Commander(GATEWAY, None, gateway.ledger, gateway.store, gateway.clock, {})
    await keyless.carry_out(command())
    assert (keyless.names, keyless.ignored) == ((), {"no key": 1})
    assert gateway.commander.names == ("log-level", "record", "report")


@pytest.mark.parametrize(
    ("changes", "wall_ns", "word"),
    [
        ({"name": "explode"}, NOW_NS, "no command 'explode'"),
        ({"arguments": {"when": "now"}}, NOW_NS, "unknown field"),
        ({"name": "log-level", "arguments": {"level": "loud"}}, NOW_NS, "loud"),
        ({"name": "log-level", "arguments": {"level": "debug", "minutes": 0}}, NOW_NS, "minutes"),
        ({}, 0, "clock of the gateway is unset"),
        ({"issued_ns": NOW_NS + 600 * NS}, NOW_NS, "issued in the future"),
    ],
    ids=["unknown", "argument", "level", "minutes", "unset", "future"],
)
async def test_what_cannot_be_done_is_refused_once_with_the_reason(gateway, changes, wall_ns, word) -> None:
    gateway.machine.wall_ns = wall_ns
    await gateway.take(command(**changes), command(**changes))
    (record,) = gateway.store.events
    assert isinstance(record, AuditRecord)
    assert (record.event, record.command, word.lower() in record.detail.lower()) == (REFUSED, "c1", True)
    assert gateway.done == []


async def test_clock_that_only_the_fleet_told_will_do(gateway: Gateway) -> None:
    gateway.machine.wall_ns = 0
    gateway.clock.tell(NOW_NS + 60 * NS)
    assert gateway.clock.state().quality == "told"
    await gateway.take(command(), command("c2", expires_ns=NOW_NS + 30 * NS))
    assert gateway.answers == [("c1", DONE)]


async def test_deed_that_fails_is_answered_with_the_reason(gateway: Gateway) -> None:
    async def fail() -> str:
        raise OSError("no such line")

    gateway.deed = fail
    await gateway.take(command())
    (record,) = gateway.store.events
    assert isinstance(record, AuditRecord)
    assert (record.event, record.detail) == (FAILED, "report of li: no such line")


async def test_agent_that_ends_in_the_middle_never_repeats_the_deed_and_says_that_it_was_interrupted(gateway) -> None:
    async def die() -> str:
        raise asyncio.CancelledError

    gateway.deed = die
    with pytest.raises(asyncio.CancelledError):
        await gateway.take(command())
    assert gateway.answers == []
    gateway.restart()
    gateway.deed = None
    gateway.commander.take(command())
    running = asyncio.create_task(gateway.commander.run())
    await pause()
    running.cancel()
    assert (gateway.done, gateway.answers) == ([], [("c1", INTERRUPTED)])
    gateway.restart()
    assert gateway.ledger.unanswered == []


@asynccontextmanager
async def running(gateway: Gateway, *commands: Command) -> AsyncIterator[None]:
    """The task of the commands, which were sent."""
    for one in commands:
        gateway.commander.take(one)
    task = asyncio.create_task(gateway.commander.run())
    await pause()
    try:
        yield
    finally:
        await end(task)


async def pause() -> None:
    """The ledger is written in a thread."""
    await asyncio.sleep(0.1)


async def test_long_command_does_not_keep_those_behind_it_waiting(gateway: Gateway) -> None:
    async with running(gateway, command("c1", name="record"), command("c2")):
        await until(lambda: bool(gateway.answers))
        assert gateway.answers == [("c2", DONE)]
        gateway.commander.take(command("c1", name="record"))
        gateway.recorded.set()
        await until(lambda: len(gateway.answers) == 2)
        await pause()
        assert gateway.answers == [("c2", DONE), ("c1", DONE)]


async def test_long_command_is_interrupted_by_an_agent_that_stops(gateway: Gateway) -> None:
    async with running(gateway, command("c1", name="record")):
        await until(lambda: gateway.ledger.knows("c1"))
        assert gateway.answers == []
    gateway.restart()
    async with running(gateway):
        await until(lambda: gateway.answers == [("c1", INTERRUPTED)])


async def test_answer_that_the_disk_did_not_take_is_not_taken_for_given(gateway: Gateway) -> None:
    gateway.store.takes = False
    await gateway.take(command())
    assert [taken.id for taken in gateway.ledger.unanswered] == ["c1"]
    gateway.machine.advance(10_000)
    await gateway.take(command("c2", issued_ns=NOW_NS, expires_ns=NOW_NS + 20_000 * NS))
    assert gateway.ledger.knows("c1"), "what is not answered is not forgotten"


async def test_command_that_cannot_be_remembered_is_not_done(gateway: Gateway, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("provisioning.document.os.fsync", full)
    with pytest.raises(DocumentError):
        await gateway.take(command())
    assert (gateway.done, gateway.answers) == ([], [])
    monkeypatch.undo()
    await gateway.take(command())
    assert gateway.answers == [("c1", DONE)]


async def test_memory_of_commands_is_bounded_and_none_is_forgotten_before_its_time(gateway: Gateway) -> None:
    for number in range(COMMANDS_MOST):
        gateway.ledger._state = msgspec.structs.replace(
            gateway.ledger._state,
            taken=(*gateway.ledger._state.taken, _taken(f"old-{number}")),
        )
    await gateway.take(command())
    assert (gateway.done, gateway.commander.ignored) == ([], {"too many": 1})
    gateway.machine.advance(3601)
    await gateway.take(command("c2", expires_ns=NOW_NS + 9000 * NS))
    assert gateway.answers == [("c2", DONE)]


def _taken(command_id: str):
    from edge.command_ledger import Taken

    return Taken(id=command_id, name="report", author="", expires_ns=NOW_NS + 3600 * NS, is_answered=True)


def test_damaged_memory_of_commands_is_no_memory_that_none_were_taken(tmp_path: Path) -> None:
    path = tmp_path / "commands.json"
    for text in ("{", '{"_default": {"1": {"floor_ns": "soon"}}}'):
        path.write_text(text)
        with pytest.raises(DocumentError, match=r"commands\.json"):
            CommandLedger(path)


async def test_flood_of_commands_is_dropped_beyond_a_bound(gateway: Gateway) -> None:
    for number in range(WAITING_MOST + 5):
        gateway.commander.take(command(f"c{number}"))
    running = asyncio.create_task(gateway.commander.run())
    await until(lambda: len(gateway.answers) >= WAITING_MOST)
    await pause()
    running.cancel()
    assert len(gateway.answers) == WAITING_MOST


async def test_log_level_comes_back_by_itself_and_a_second_command_replaces_the_first() -> None:
    logger = logging.getLogger("tests.level")
    logger.setLevel(logging.INFO)
    handler, order = LogLevel(logger), Order(id="c", gateway=GATEWAY, name="log-level", issued_ns=1, expires_ns=2)
    assert await handler.act(LogLevelArguments(level="debug", minutes=5), order) == "logging at debug for 5 min"
    assert logger.level == logging.DEBUG
    await handler.act(LogLevelArguments(level="warning", minutes=0.0001), order)
    assert logger.level == logging.WARNING
    await asyncio.sleep(0.05)
    assert logger.level == logging.INFO


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 5)),
    st.tuples(st.just("advance"), st.sampled_from([1, 1000, 5000])),
    st.tuples(
        st.just("set clock"), st.sampled_from([0, SET_FLOOR_NS, NOW_NS, NOW_NS + 3599 * NS, NOW_NS + 10**6 * NS])
    ),
    st.tuples(st.just("restart"), st.just(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25), chance=st.randoms(use_true_random=False))
def test_whatever_is_sent_again_restarted_or_set_each_command_is_done_at_most_once(
    tmp_path_factory, steps, chance: random.Random
) -> None:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    commands = [command(f"c{n}", expires_ns=NOW_NS + chance.choice([10, 2000, 86_400]) * NS) for n in range(6)]

    async def live() -> None:
        for act, value in steps:
            match act:
                case "send":
                    await gateway.take(commands[value])
                case "advance":
                    gateway.machine.advance(value)
                case "set clock":
                    gateway.machine.wall_ns = value
                case "restart":
                    gateway.restart()

    asyncio.run(live())
    answered = [command_id for command_id, _ in gateway.answers]
    assert len(answered) == len(set(answered))


def test_floor_alone_tells_an_expired_command_while_the_clock_is_unset() -> None:
    order = Order(id="c", gateway=GATEWAY, name="report", issued_ns=1, expires_ns=100)
    assert why_ignored(order, GATEWAY, None, 100) == "expired"
    assert why_ignored(order, GATEWAY, None, 99) == ""


async def test_answer_is_durable_though_the_memory_of_it_is_not(gateway: Gateway, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def fill_the_disk() -> str:
        monkeypatch.setattr("provisioning.document.os.fsync", full)
        return "done all the same"

    gateway.deed = fill_the_disk
    await gateway.take(command())
    monkeypatch.undo()
    assert gateway.answers == [("c1", DONE)]
    gateway.restart()
    assert [taken.id for taken in gateway.ledger.unanswered] == ["c1"], (
        "the next start says so once more; the first counts"
    )


async def test_command_that_cannot_be_remembered_does_not_end_the_task(gateway: Gateway, monkeypatch) -> None:
    asked: list[tuple[object, ...]] = []

    def full(*given: object) -> None:
        asked.append(given)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("provisioning.document.os.fsync", full)
    gateway.commander.take(command())
    running = asyncio.create_task(gateway.commander.run())
    await until(lambda: bool(asked))
    await pause()
    monkeypatch.undo()
    gateway.commander.take(command("c2"))
    await until(lambda: gateway.answers == [("c2", DONE)])
    running.cancel()
