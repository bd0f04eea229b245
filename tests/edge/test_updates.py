"""The agent's updater: what a target means, what is on the disk before each step, and how a trial is seen through."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from edge.clock import SystemClock
from edge.errors import EdgeError
from edge.settings import UpdateSettings
from edge.trial import Sight
from edge.updates import decision
from edge.updates.errors import RefusedError, RolledBackError
from edge.updates.slots import Last, Slots, Trial, find_slots
from edge.updates.updater import Fetched, Updater
from edge.updates.work import Work, WorkFile
from wire.update import ENDS, Progress, Target

NEW, RUNNING = "0.2.0", "0.1.0"
TREE = "d" * 64
STEPS = ("downloading", "verified", "installed", "trying", *sorted(ENDS))


def target(action: str = "7", **changes) -> Target:
    return msgspec.structs.replace(Target(action=action, kind="agent", version=NEW), **changes)


def work(action: str = "7", step: str = "downloading", **changes) -> Work:
    return msgspec.structs.replace(Work(action=action, kind="agent", version=NEW, step=step), **changes)


@pytest.mark.parametrize(("step", "same", "cancelled", "attempt"), list(itertools.product(
    STEPS, (True, False), (True, False), (1, 2)
)))  # fmt: skip
def test_a_trial_goes_to_its_end_and_no_attempt_is_done_twice(step, same, cancelled, attempt) -> None:
    wanted = target("7" if same else "8", is_cancelled=cancelled, attempt=attempt)
    said = decision.answer(work(step=step), wanted)
    if cancelled and not same:
        assert said == "decline"
    elif step in ("installed", "trying"):
        assert said == ("tell" if same else "ignore")
    elif not same:
        assert said == "begin"
    elif cancelled:
        assert said == ("tell" if step in ENDS else "cancel")
    else:
        assert said == ("begin" if attempt == 2 and step in ENDS else "tell")


def test_a_start_learns_from_the_launcher_how_a_trial_ended() -> None:
    tried = work(step="installed", orders=1)
    for outcome, step in decision.OUTCOMES.items():
        found = decision.recover(tried, None, Last(action="7.1", version=NEW, outcome=outcome, reason="bus plc"))
        assert (found.step, found.detail) == (step, "bus plc")
    trial = Trial(nonce="n", slot="b", version=NEW, action="7.1")
    assert decision.recover(tried, trial, None).step == "trying"
    assert decision.recover(tried, None, Last(action="6.1", outcome="confirmed")).step == "installed"
    given_up = decision.recover(work(step="installed", orders=decision.ORDERS_MOST), None, None)
    assert given_up.step == "failed"
    assert decision.recover(work(step="confirmed"), trial, None).step == "confirmed"


def test_what_was_well_must_be_well_again_and_only_that() -> None:
    sights = {"bus plc": Sight(good_ns=5), "bus new": Sight(), "bus back": Sight(good_ns=20)}
    tried = work(well=("bus plc", "bus back", "bus gone"))
    waits = decision.find_waits(tried, sights, 10, has_session=True, is_acknowledged=True)
    assert waits == ("bus plc",)
    assert decision.find_waits(tried, None, 10, has_session=True, is_acknowledged=True) == ("acquisition",)
    assert len(decision.find_waits(work(), {}, 10, has_session=False, is_acknowledged=False)) == 2


def test_an_action_whose_number_comes_again_is_another_one() -> None:
    before = work(step="confirmed", version="0.1.5")
    assert decision.answer(before, target()) == "begin", "a restored fleet counts on from there"
    last = Last(action="7.1", version="0.1.5", outcome="confirmed")
    assert decision.recover(work(), None, last).step == "downloading", "how the other one ended says nothing of this"
    assert decision.recover(work(step="installed"), None, last).step == "installed"


def test_profiles_that_end_the_agent_again_and_again_are_given_up() -> None:
    tried = work(kind="profiles", step="trying", orders=decision.STARTS_MOST)
    found = decision.recover(tried, None, None)
    assert (found.step, "ended" in found.detail) == ("rolled-back", True)
    once = work(kind="profiles", step="trying", orders=1)
    assert decision.recover(once, None, None) == once, "a power cut is no fault of theirs"


class FakeSource:
    """Gives an artifact, or what it was told to raise; ``pause`` is awaited by fetching."""

    def __init__(self, *faults: EdgeError) -> None:
        self.faults = list(faults)
        self.spoils: EdgeError | None = None
        self.is_fetching = False
        self.fetched = 0
        self.tell: Callable[[int, int], None] | None = None
        self.hold = False

    def fetch(self, _work: Work, tell: Callable[[int, int], None]) -> Fetched:
        self.fetched += 1
        self.is_fetching = True
        try:
            while self.hold:
                tell(1, 10)
            tell(10, 10)
        finally:
            self.is_fetching = False
        if self.faults:
            raise self.faults.pop(0)
        return Fetched(archive=Path("/nowhere"), tree_sha256=TREE)

    def unpack(self, _fetched: Fetched, folder: Path) -> None:
        (folder / "release.json").write_text('{"version": "0.2.0"}')
        if self.spoils is not None:
            raise self.spoils

    def clear(self) -> None:
        pass


class FakeProfiles:
    def __init__(self, fault: EdgeError | None = None) -> None:
        self.fault = fault
        self.installed: list[Path] = []

    def version(self) -> str:
        return ""

    async def install(self, tree: Path) -> None:
        self.installed.append(tree)
        if self.fault is not None:
            raise self.fault


class Gateway:
    """An agent on slots in a folder, with its updater running."""

    def __init__(self, folder: Path, source: FakeSource | None = None, profiles: FakeProfiles | None = None) -> None:
        self.folder = folder
        self.slots = Slots(folder)
        self.source = source or FakeSource()
        self.profiles = profiles or FakeProfiles()
        self.left = asyncio.Event()
        self.sights: dict[str, Sight] = {}
        self.has_session = True
        self.soak_s = 0.0
        self.said: list[str] = []
        if not (folder / "slot.json").exists():
            self.write("slot.json", {"good": {"slot": "a", "version": RUNNING, "tree_sha256": "0"}})

    def write(self, name: str, document: object) -> None:
        (self.folder / name).write_text(json.dumps(document))

    def begin_trial(self, nonce: str, action: str) -> None:
        shown = {"nonce": nonce, "slot": "b", "version": NEW, "action": action, "left": 1, "confirm_s": 9}
        self.write("trial.json", shown)

    async def until_confirmed(self) -> None:
        """Wait until the launcher is asked to confirm."""
        async with asyncio.timeout(10):
            while not (self.folder / "confirm.json").exists():  # noqa: ASYNC110 - a file makes no event
                await asyncio.sleep(0.01)

    def read(self, name: str):
        return json.loads((self.folder / name).read_text())

    @asynccontextmanager
    async def running(self, release: str = RUNNING) -> AsyncIterator[Updater]:
        async def is_acknowledged() -> bool:
            return True

        file = WorkFile(self.folder / "updates.json")
        self.updater = Updater(
            file,
            self.slots,
            self.source,
            UpdateSettings(soak_s=self.soak_s),
            SystemClock(),
            release=release,
            probe="fleet.example:8883",
            say=lambda event, _: self.said.append(event),
            sights=lambda: self.sights,
            has_session=lambda: self.has_session,
            is_acknowledged=is_acknowledged,
            profiles=self.profiles,
            leave=self.left.set,
        )
        task = asyncio.create_task(self.updater.run())
        try:
            yield self.updater
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            file.close()

    async def until(self, *steps: str) -> Progress:
        """Wait until the fleet is told one of these steps."""
        async with asyncio.timeout(10):
            while True:
                await self.updater.due.wait()
                for told in self.updater.take_untold():
                    if told.step in steps:
                        return told


async def test_release_is_fetched_into_the_slot_that_does_not_run_and_the_launcher_is_asked(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.sights = {"bus plc": Sight(good_ns=SystemClock().mono_ns())}
    async with gateway.running() as updater:
        updater.take(target())
        await asyncio.wait_for(gateway.left.wait(), 10)
    assert (tmp_path / "b" / "release.json").exists()
    order = gateway.read("order.json")
    assert (order["action"], order["slot"], order["version"], order["tree_sha256"]) == ("7.1", "b", NEW, TREE)
    assert order["probe"] == "fleet.example:8883"
    assert gateway.read("updates.json")["_default"]["agent"]["well"] == ["bus plc"]


async def test_trial_is_confirmed_once_all_is_as_well_as_before(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    file = WorkFile(tmp_path / "updates.json")
    file.keep(work(step="installed", orders=1, well=("bus plc",)))
    file.close()
    gateway.begin_trial("n1", "7.1")
    gateway.sights = {"bus plc": Sight()}
    async with gateway.running(NEW):
        told = await gateway.until("trying")
        while "bus plc" not in told.detail:
            told = await gateway.until("trying")
        assert gateway.read("waits.json") == {"nonce": "n1", "for": ["bus plc"]}
        assert not (tmp_path / "confirm.json").exists()
        gateway.sights = {"bus plc": Sight(good_ns=SystemClock().mono_ns())}
        await gateway.until_confirmed()
        assert gateway.read("confirm.json") == {"nonce": "n1"}
        last = {"action": "7.1", "version": NEW, "outcome": "confirmed", "reason": "", "at": 1}
        gateway.write("slot.json", {"good": {"slot": "b", "version": NEW, "tree_sha256": TREE}, "last": last})
        (tmp_path / "trial.json").unlink()
        assert (await gateway.until("confirmed")).version == NEW
    async with gateway.running(NEW) as updater:
        updater.take(target())
        assert (await gateway.until("confirmed")).action == "7", "asked again, it tells the same"


async def test_release_that_was_rolled_back_is_told_with_the_launchers_reason(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    file = WorkFile(tmp_path / "updates.json")
    file.keep(work(step="installed", orders=1))
    file.close()
    last = {"action": "7.1", "version": NEW, "outcome": "rolled-back", "reason": "ended with status 1", "at": 1}
    gateway.write("slot.json", {"good": {"slot": "a", "version": RUNNING, "tree_sha256": "0"}, "last": last})
    async with gateway.running():
        told = await gateway.until("rolled-back")
    assert told.detail == "ended with status 1"
    assert "update-rolled-back" in gateway.said


async def test_trial_whose_file_was_lost_is_still_confirmed(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.begin_trial("n2", "9.2")
    async with gateway.running(NEW):
        told = await gateway.until("trying")
        assert (told.action, told.attempt) == ("9", 2)
        await gateway.until_confirmed()


@pytest.mark.parametrize(
    ("fault", "step"),
    [(RefusedError("signed by nobody"), "refused"), (EdgeError("no room", hint="delete something"), "failed")],
)
async def test_what_cannot_be_fetched_changes_nothing_and_says_why(tmp_path: Path, fault: EdgeError, step: str) -> None:
    gateway = Gateway(tmp_path, FakeSource(fault))
    async with gateway.running() as updater:
        updater.take(target())
        told = await gateway.until(step)
        assert str(fault) in told.detail
        updater.take(target())
        assert (await gateway.until(step)).attempt == 1
        assert gateway.source.fetched == 1, "an attempt that is over is not done again"
        updater.take(target(attempt=2))
        await asyncio.wait_for(gateway.left.wait(), 10)
    assert gateway.source.fetched == 2
    assert not (tmp_path / "a").exists()


async def test_cancelled_while_it_downloads_it_ends_at_once(tmp_path: Path) -> None:
    source = FakeSource()
    source.hold = True
    gateway = Gateway(tmp_path, source)
    async with gateway.running() as updater:
        updater.take(target())
        await gateway.until("downloading")
        updater.take(target(is_cancelled=True))
        await gateway.until("cancelled")
    assert not (tmp_path / "order.json").exists()


async def test_cancelled_while_another_kind_downloads_it_never_begins(tmp_path: Path) -> None:
    source = FakeSource(EdgeError("no room"))
    source.hold = True
    gateway = Gateway(tmp_path, source)
    async with gateway.running() as updater:
        updater.take(target())
        await gateway.until("downloading")
        updater.take(target("8", kind="profiles"))
        updater.take(target("8", kind="profiles", is_cancelled=True))
        source.hold = False
        await gateway.until("failed")
        updater.take(target("9"))
        await asyncio.wait_for(gateway.left.wait(), 10)
    assert list(gateway.read("updates.json")["_default"]) == ["agent"]


async def test_cancelled_before_it_was_heard_of_the_fleet_is_told_so(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running() as updater:
        updater.take(target("8", attempt=2, is_cancelled=True))
        told = await gateway.until("cancelled")
    assert (told.action, told.attempt, told.version) == ("8", 2, NEW)
    assert not (tmp_path / "updates.json").exists()


async def test_tree_that_could_not_be_unpacked_leaves_its_room_to_the_spool(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.source.spoils = EdgeError("the disk is full")
    async with gateway.running() as updater:
        updater.take(target())
        await gateway.until("failed")
    assert not (tmp_path / "b.new").exists()


async def test_nothing_is_begun_once_the_launcher_was_asked_for_a_trial(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running() as updater:
        updater.take(target())
        updater.take(target("8", kind="profiles"))
        await asyncio.wait_for(gateway.left.wait(), 10)
        await asyncio.sleep(0.1)
    assert gateway.source.fetched == 1
    assert list(gateway.read("updates.json")["_default"]) == ["agent"]


async def test_trial_goes_before_profiles_whose_download_was_interrupted(tmp_path: Path) -> None:
    file = WorkFile(tmp_path / "updates.json")
    file.keep(work("6", kind="profiles"))
    file.keep(work(step="installed", orders=1))
    file.close()
    source = FakeSource()
    source.hold = True
    gateway = Gateway(tmp_path, source)
    gateway.begin_trial("n4", "7.1")
    async with gateway.running(NEW):
        await gateway.until_confirmed()


async def test_agent_that_ends_does_not_wait_for_a_download(tmp_path: Path) -> None:
    source = FakeSource()
    source.hold = True
    gateway = Gateway(tmp_path, source)
    async with gateway.running() as updater:
        updater.take(target())
        await gateway.until("downloading")
        while not source.is_fetching:  # noqa: ASYNC110 - it runs in a thread
            await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(2):
            while source.is_fetching:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        source.hold = False
    again = Gateway(tmp_path)
    async with again.running():
        await asyncio.wait_for(again.left.wait(), 10)


async def test_slot_that_runs_is_never_written_over_whatever_the_launcher_could_note(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    (tmp_path / "b").mkdir()
    slots = find_slots({"FENGSUI_SLOTS": str(tmp_path), "FENGSUI_SLOT": "b"})
    assert slots is not None
    gateway.slots = slots
    async with gateway.running() as updater:
        updater.take(target())
        assert "slot b runs" in (await gateway.until("failed")).detail
    assert (tmp_path / "b").exists()


async def test_interrupted_download_goes_on_after_a_start_without_being_asked(tmp_path: Path) -> None:
    file = WorkFile(tmp_path / "updates.json")
    file.keep(work(step="downloading"))
    file.close()
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await asyncio.wait_for(gateway.left.wait(), 10)
    assert gateway.read("order.json")["action"] == "7.1"


async def test_order_that_the_launcher_never_took_is_given_up_in_the_end(tmp_path: Path) -> None:
    file = WorkFile(tmp_path / "updates.json")
    file.keep(work(step="installed", slot="b", tree_sha256=TREE, orders=decision.ORDERS_MOST - 1))
    file.close()
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await asyncio.wait_for(gateway.left.wait(), 10)
    again = Gateway(tmp_path)
    async with again.running():
        told = await again.until("failed")
    assert "never did" in told.detail


async def test_release_that_runs_already_is_confirmed_without_a_restart(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running(NEW) as updater:
        updater.take(target())
        assert "runs already" in (await gateway.until("confirmed")).detail
    assert not gateway.left.is_set()


async def test_window_that_is_over_ends_the_attempt(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running() as updater:
        updater.take(target(until_ns=1))
        told = await gateway.until("failed", "installed")
        if SystemClock().wall_at(SystemClock().mono_ns()) is not None:
            assert "window" in told.detail


@pytest.mark.parametrize(
    ("fault", "step"), [(None, "confirmed"), (RolledBackError("bus plc is silent"), "rolled-back")]
)
async def test_profiles_are_installed_without_a_restart(
    tmp_path: Path, fault: EdgeError | None, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(tmp_path, profiles=FakeProfiles(fault))
    fetched = Fetched(archive=tmp_path / "profiles.tar", tree_sha256=TREE)
    monkeypatch.setattr(gateway.source, "fetch", lambda *_: fetched)
    async with gateway.running() as updater:
        updater.take(target(kind="profiles"))
        assert (await gateway.until(step)).kind == "profiles"
    assert gateway.profiles.installed
    assert not gateway.left.is_set()


async def test_release_is_confirmed_only_after_all_has_been_well_for_long_enough(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.soak_s = 1.5
    gateway.begin_trial("n3", "7.1")
    async with gateway.running(NEW):
        told = await gateway.until("trying")
        while "of all being well" not in told.detail:
            told = await gateway.until("trying")
        await asyncio.sleep(0.7)
        assert not (tmp_path / "confirm.json").exists()
        gateway.has_session = False
        while "welcome" not in told.detail:
            told = await gateway.until("trying")
        gateway.has_session = True
        await asyncio.sleep(1.0)
        assert not (tmp_path / "confirm.json").exists(), "a break begins it anew"
        await gateway.until_confirmed()
