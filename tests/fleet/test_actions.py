"""Actions: one release for one gateway, from its offer to its end."""

from __future__ import annotations

import itertools

import pytest
from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.errors import ConflictError, InvalidError
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.rollouts import actions, offering, states
from fleet.rollouts.engine import Engine
from fleet.rollouts.models import UpdateAction
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock
from tests.fleet.rollouts import make_artifact
from wire.topics import Up
from wire.update import ENDS, Progress

GATEWAY, OTHER = edge.GATEWAY, "gw-yufu-0002"


class Fleet:
    """A fleet with a gateway that installs agents, one that does not, and a release for each machine."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        self.engine = Engine(services)
        with services.database.writing() as session:
            for name in (GATEWAY, OTHER):
                gateways.register(session, name, "", None, START_NS)
            session.add_all([make_artifact(), make_artifact(hardware="aarch64")])
        self.tell(Up.REPORTED, edge.reported(installs=("agent",), hardware="x86_64"))
        self.tell(Up.REPORTED, edge.reported(), OTHER)

    def tell(self, kind: Up, message, gateway: str = GATEWAY) -> None:
        self.committer.commit([edge.up(kind, message, gateway)])

    def assign(self, gateway: str = GATEWAY, version: str = "0.2.0", **options) -> int:
        with self.services.database.writing() as session:
            return actions.assign(session, gateway, "agent", version, "li", self.services.clock(), **options).id

    def cancel(self, action_id: int) -> None:
        with self.services.database.writing() as session:
            actions.cancel(session, actions.get(session, action_id), "li", "not today", self.services.clock())

    def offers(self):
        self.engine.turn()
        with self.services.database.reading() as session:
            return offering.find_offers(session)

    def progress(self, action_id: int, step: str, attempt: int = 1, gateway: str = GATEWAY, **said) -> UpdateAction:
        told = Progress(action=str(action_id), kind="agent", version="0.2.0", step=step, attempt=attempt, **said)
        self.tell(Up.PROGRESS, told, gateway)
        return self.read(action_id)

    def read(self, action_id: int) -> UpdateAction:
        with self.services.database.reading() as session:
            return actions.get(session, action_id)


@pytest.fixture
def fleet(services: Services) -> Fleet:
    return Fleet(services)


def test_every_step_of_a_gateway_has_a_state_and_every_end_closes() -> None:
    assert {step for step, state in states.AFTER.items() if state in states.CLOSED} == ENDS


@pytest.mark.parametrize(
    ("state", "step", "left"),
    list(itertools.product(states.OPEN + states.CLOSED, states.AFTER, (0, 2))),
)
def test_what_is_closed_stays_closed_unless_the_release_runs_after_all(state: str, step: str, left: int) -> None:
    after = states.move(state, step, left)
    if state in states.CLOSED:
        assert after == state or (step == "confirmed" and after == states.FINISHED)
    elif step in states.AGAIN and left and state != states.CANCELLING:
        assert after == states.WAITING
    else:
        assert (after in states.CLOSED) == (step in ENDS)


def test_offer_goes_out_until_the_gateway_runs_the_release(fleet: Fleet) -> None:
    action_id = fleet.assign()
    ((gateway, _, target),) = fleet.offers()
    assert (gateway, target.action, target.version, target.attempt) == (GATEWAY, str(action_id), "0.2.0", 1)
    action = fleet.progress(action_id, "downloading", done=5, of=10)
    assert (action.state, action.done, action.of) == (states.RUNNING, 5, 10)
    assert len(fleet.offers()) == 1
    assert fleet.progress(action_id, "confirmed").state == states.FINISHED
    assert fleet.offers() == []


def test_gateway_that_installs_nothing_is_told_nothing_and_the_action_says_why(fleet: Fleet) -> None:
    action_id = fleet.assign(OTHER)
    assert fleet.offers() == []
    action = fleet.read(action_id)
    assert action.state == states.REJECTED
    assert "does not install agent" in action.detail


def test_release_for_other_machines_is_rejected(fleet: Fleet) -> None:
    fleet.tell(Up.REPORTED, edge.reported(installs=("agent",), hardware="armv7l"))
    action_id = fleet.assign()
    assert fleet.offers() == []
    assert "not made for armv7l" in fleet.read(action_id).detail


def test_end_that_says_nothing_of_the_release_is_offered_again_until_the_attempts_are_used_up(
    fleet: Fleet, clock: Clock
) -> None:
    action_id = fleet.assign(attempts_most=2)
    fleet.offers()
    assert fleet.progress(action_id, "inconclusive", detail="the fleet was not reached").state == states.WAITING
    assert fleet.offers() == [], "what stood in its way needs time to pass"
    clock.advance(states.AGAIN_AFTER_S)
    ((_, _, target),) = fleet.offers()
    assert target.attempt == 2
    assert fleet.progress(action_id, "inconclusive", attempt=1).state == states.OFFERED, "an echo of the first attempt"
    assert fleet.progress(action_id, "inconclusive", attempt=2).state == states.FAILED


def test_release_that_was_rolled_back_is_not_offered_again(fleet: Fleet) -> None:
    action_id = fleet.assign()
    fleet.offers()
    action = fleet.progress(action_id, "rolled-back", detail="bus plc did not come back")
    assert (action.state, action.detail) == (states.FAILED, "bus plc did not come back")


def test_attempt_that_takes_too_long_times_out_and_a_late_success_still_counts(fleet: Fleet, clock: Clock) -> None:
    action_id = fleet.assign(timeout_s=60)
    fleet.offers()
    fleet.progress(action_id, "trying")
    clock.advance(61)
    assert fleet.offers() == []
    action = fleet.read(action_id)
    assert action.state == states.TIMED_OUT
    assert "'trying'" in action.detail
    assert fleet.progress(action_id, "confirmed").state == states.FINISHED


def test_cancelled_before_it_was_heard_of_is_over_at_once_and_later_when_the_gateway_agrees(fleet: Fleet) -> None:
    first = fleet.assign()
    fleet.cancel(first)
    assert fleet.read(first).state == states.CANCELLED
    second = fleet.assign()
    fleet.offers()
    fleet.progress(second, "downloading")
    fleet.cancel(second)
    ((_, _, target),) = fleet.offers()
    assert target.is_cancelled
    assert fleet.progress(second, "cancelled").state == states.CANCELLED


def test_word_that_comes_after_the_end_takes_its_reason_from_nobody(fleet: Fleet, clock: Clock) -> None:
    action_id = fleet.assign(timeout_s=60)
    fleet.offers()
    ended = fleet.progress(action_id, "rolled-back", detail="bus plc is silent")
    clock.advance(5)
    again = fleet.progress(action_id, "trying", detail="waits for bus plc")
    assert (again.step, again.detail, again.closed_ns) == ("rolled-back", "bus plc is silent", ended.closed_ns)


def test_number_that_a_restored_fleet_gives_again_is_not_closed_by_what_became_of_the_other(fleet: Fleet) -> None:
    action_id = fleet.assign()
    fleet.offers()
    told = Progress(action=str(action_id), kind="agent", version="0.1.5", step="confirmed")
    fleet.tell(Up.PROGRESS, told)
    assert fleet.read(action_id).state == states.OFFERED


def test_end_of_an_attempt_that_a_restored_fleet_has_forgotten_counts(fleet: Fleet) -> None:
    action_id = fleet.assign()
    fleet.offers()
    action = fleet.progress(action_id, "rolled-back", attempt=2)
    assert (action.state, action.attempt) == (states.FAILED, 2)


def test_gateway_is_not_heard_about_the_actions_of_another(fleet: Fleet) -> None:
    action_id = fleet.assign()
    fleet.offers()
    assert fleet.progress(action_id, "confirmed", gateway=OTHER).state == states.OFFERED
    for strange in ("", "-1", "9" * 40, "zero", "77"):
        fleet.tell(Up.PROGRESS, Progress(action=strange, kind="agent", version="1", step="confirmed"))


def test_one_release_of_a_kind_at_a_time_and_only_what_is_published(fleet: Fleet) -> None:
    fleet.assign()
    with pytest.raises(ConflictError, match="already"):
        fleet.assign()
    with pytest.raises(InvalidError, match="no published agent"):
        fleet.assign(version="9.9.9")


def test_story_of_an_action_has_each_step_once(fleet: Fleet, services: Services) -> None:
    action_id = fleet.assign()
    fleet.offers()
    for step in ("downloading", "downloading", "verified", "trying", "trying", "confirmed", "confirmed"):
        fleet.progress(action_id, step)
    with services.database.reading() as session:
        told = [event.step for event in actions.events(session, action_id)]
    assert told == ["downloading", "verified", "trying", "confirmed"]
