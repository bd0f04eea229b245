"""Rollouts on a database: waves, pauses, windows, approval, and what happens to gateways meanwhile."""

from __future__ import annotations

from datetime import datetime
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from fleet.alarms import own
from fleet.bootstrap import Services
from fleet.ddi import service as ddi
from fleet.errors import ConflictError, DeniedError, InvalidError, NotFoundError
from fleet.gateways.models import Gateway
from fleet.rollouts import actions, offering, service, states
from fleet.rollouts.plan import read_plan
from fleet.watcher import Watcher
from tests.fleet.conftest import both_databases
from tests.fleet.rollouts import NEW, Park, make_artifact, make_gateway
from wire.update import Progress

CANARY = [{"gateways": ["gw-00"]}, {"percent": 34}]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def park(services: Services) -> Park:
    return Park(services)


def test_waves_follow_each_other_as_gateways_confirm_and_the_last_one_finishes(park: Park) -> None:
    number = park.create(waves=CANARY)
    first, second, third = park.waves(number)
    assert (first, len(second), len(third)) == ({"gw-00"}, 4, 5)
    assert park.offered() == first
    park.say("trying", *first)
    park.turn()
    assert park.rollout(number).wave == 0, "running is not confirmed"
    park.say("confirmed", *first)
    assert park.offered() == second
    park.say("confirmed", *second)
    assert park.offered() == third
    park.say("confirmed", *third)
    assert park.offered() == set()
    rollout = park.rollout(number)
    assert (rollout.state, rollout.ended_ns) == (states.FINISHED, park.clock())
    assert [verb for verb, _ in park.audited()] == ["rollout.wave", "rollout.wave", "rollout.finished"]


def test_bad_release_pauses_and_says_which_wave_how_many_why_and_who(park: Park) -> None:
    number = park.create(waves=[{"percent": 50}], rules={"executed_least": 2})
    wave = sorted(park.offered())
    park.say("rolled-back", *wave[:2], detail="bus plc did not come back")
    park.turn()
    rollout = park.rollout(number)
    assert rollout.state == states.PAUSED
    for word in ("wave 1", "2 of 2", "more than 10 %", "bus plc did not come back", wave[0], wave[1]):
        assert word in rollout.reason
    assert rollout.cause["reasons"] == [["bus plc did not come back", 2, wave[:2]]]
    ((verb, detail),) = park.audited()
    assert (verb, detail["reason"]) == ("rollout.paused", rollout.reason)


def test_rollout_that_pauses_by_itself_is_an_alarm_until_it_goes_on_or_is_stopped(park: Park) -> None:
    number = park.create(waves=[{"gateways": ["gw-00"]}, {"gateways": ["gw-02"]}])
    watcher = Watcher(park.services)

    def look() -> frozenset[str]:
        park.turn()
        watcher.look()
        with park.services.database.reading() as session:
            return own.find_up(session, own.FLEET, own.ROLLOUT)

    assert look() == set()
    park.say("rolled-back", "gw-00", detail="bus plc is silent")
    assert look() == {str(number)}
    park.change("resume", number)
    assert look() == set()
    park.change("pause", number, "li", "lunch")
    assert look() == set(), "who pauses it knows"
    park.change("resume", number)
    park.say("rolled-back", "gw-02")
    assert look() == {str(number)}
    park.change("stop", number, "li", "a bad release", park.clock())
    assert look() == set()


def test_while_it_is_paused_nothing_is_offered_not_even_what_was_and_those_that_began_go_on(park: Park) -> None:
    number = park.create(waves=[{"percent": 40}])
    wave = sorted(park.offered())
    park.say("downloading", wave[0])
    park.change("pause", number, "li", "look first")
    assert park.offered() == {wave[0]}
    assert park.rollout(number).reason == "li: look first"
    park.say("confirmed", wave[0])
    park.say("downloading", wave[1])  # the offer had reached it
    assert park.action(wave[1]).deadline_ns is not None
    park.change("resume", number)
    assert park.offered() == set(wave[1:])


def test_operator_who_goes_on_excuses_what_has_failed_and_the_next_failures_count_anew(park: Park) -> None:
    number = park.create(waves=[{"percent": 50}], rules={"executed_least": 1})
    wave = sorted(park.offered())
    park.say("rolled-back", wave[0])
    park.turn()
    assert park.rollout(number).state == states.PAUSED
    park.change("resume", number)
    park.turn()
    rollout = park.rollout(number)
    assert (rollout.state, rollout.reason, rollout.cause) == (states.RUNNING, "", {})
    park.say("confirmed", *wave[1:4])
    park.turn()
    assert park.rollout(number).wave == 0
    park.say("rolled-back", wave[4])
    park.turn()
    assert park.rollout(number).state == states.PAUSED, "1 of 4 that count"


def test_silent_gateways_time_out_and_that_counts_as_failure(park: Park) -> None:
    number = park.create(waves=[{"percent": 30}], rules={"timeout_s": 600})
    wave = park.offered()
    park.clock.advance(601)
    park.turn()
    rollout = park.rollout(number)
    assert rollout.state == states.PAUSED
    assert "3x not done within 600 s: it never answered" in rollout.reason
    assert {park.action(name).state for name in wave} == {states.TIMED_OUT}


def test_stop_cancels_at_once_what_nobody_heard_and_the_rest_as_gateways_agree(park: Park) -> None:
    number = park.create(waves=[{"percent": 20}])
    one, other = sorted(park.offered())
    park.say("downloading", one)
    park.change("stop", number, "li", "wrong release", park.clock())
    assert park.rollout(number).state == states.STOPPING
    assert park.targets()[one].is_cancelled
    assert park.targets()[other].is_cancelled
    park.turn()
    park.say("cancelled", one)
    park.say("cancelled", other)
    park.turn()
    rollout = park.rollout(number)
    assert (rollout.state, rollout.reason) == (states.STOPPED, "li: wrong release")
    assert {park.action(name).state for name in park.names} == {states.CANCELLED}


def test_stop_needs_a_reason_and_comes_only_once(park: Park) -> None:
    number = park.create(start=False)
    with pytest.raises(InvalidError, match="reason: is empty"):
        park.change("stop", number, "li", " ", park.clock())
    park.change("stop", number, "li", "not needed", park.clock())
    assert park.rollout(number).state == states.STOPPED
    with pytest.raises(ConflictError, match="is stopped"):
        park.change("stop", number, "li", "again", park.clock())
    with pytest.raises(ConflictError, match="is stopped"):
        park.change("start", number, park.clock())


def test_rate_bounds_the_offers_of_a_minute(park: Park) -> None:
    park.create(rules={"rate_per_minute": 4})
    assert len(park.offered()) == 4
    park.clock.advance(30)
    assert len(park.offered()) == 4
    park.clock.advance(31)
    assert len(park.offered()) == 8


def _at(park: Park, text: str) -> int:
    park.clock.now_ns = int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * 10**9
    return park.clock.now_ns


NIGHT = {"begin": "22:00", "end": "05:00"}


def test_window_holds_offers_back_and_its_end_goes_along_with_them(park: Park) -> None:
    _at(park, "2026-11-27T12:00:00")
    park.create(target={"gateways": ["gw-00"]}, rules={"window": NIGHT})
    assert park.offered() == set()
    _at(park, "2026-11-27T22:00:00")
    assert park.offered() == {"gw-00"}
    assert park.targets()["gw-00"].until_ns == _at(park, "2026-11-28T05:00:00")


def test_forced_rollout_ignores_the_window(park: Park) -> None:
    _at(park, "2026-11-27T12:00:00")
    park.create(target={"gateways": ["gw-00"]}, rules={"window": NIGHT, "is_forced": True})
    assert park.offered() == {"gw-00"}
    assert park.targets()["gw-00"].until_ns is None


def test_gateway_whose_window_ended_tries_again_in_the_next_without_losing_an_attempt(park: Park) -> None:
    _at(park, "2026-11-27T22:00:00")
    park.create(target={"gateways": ["gw-00"]}, rules={"window": NIGHT, "attempts": 1, "timeout_s": 86400})
    park.turn()
    park.say("downloading", "gw-00")
    _at(park, "2026-11-28T05:00:01")
    park.say("failed", "gw-00", detail="the maintenance window is over", attempt=1)
    assert park.offered() == set()
    _at(park, "2026-11-28T22:00:00")
    assert park.offered() == {"gw-00"}
    assert park.targets()["gw-00"].attempt == 2


def test_gateway_that_answers_in_none_of_its_windows_times_out_in_the_end(park: Park) -> None:
    _at(park, "2026-11-27T22:00:00")
    park.create(target={"gateways": ["gw-00"]}, rules={"window": NIGHT, "attempts": 2, "timeout_s": 86400})
    park.turn()
    _at(park, "2026-11-28T05:00:00")
    assert park.offered() == set()
    assert park.action("gw-00").state == states.WAITING
    _at(park, "2026-11-28T22:00:00")
    assert park.offered() == {"gw-00"}
    _at(park, "2026-11-29T05:00:00")
    park.turn()
    action = park.action("gw-00")
    assert (action.state, action.detail) == (states.TIMED_OUT, "it did not answer within the maintenance window")


def test_inconclusive_end_is_offered_again_and_counts_only_when_attempts_are_used_up(park: Park) -> None:
    number = park.create(target={"gateways": ["gw-00"]}, rules={"attempts": 2})
    park.turn()
    park.say("inconclusive", "gw-00", attempt=1)
    assert park.offered() == set()
    park.clock.advance(states.AGAIN_AFTER_S)
    assert park.offered() == {"gw-00"}
    park.say("inconclusive", "gw-00", detail="the fleet was not reached", attempt=2)
    park.turn()
    assert park.rollout(number).state == states.PAUSED
    assert "the fleet was not reached" in park.rollout(number).reason


def test_operator_has_single_gateways_try_again(park: Park) -> None:
    number = park.create(waves=[{"percent": 30}], rules={"executed_least": 3})
    wave = sorted(park.offered())
    park.say("rolled-back", *wave)
    park.turn()
    park.change("offer_again", number, [wave[0]], "li", park.clock())
    assert park.offered() == set(), "it is paused"
    park.change("resume", number)
    assert park.offered() == {wave[0]}
    assert park.targets()[wave[0]].attempt == 2
    park.say("confirmed", wave[0], attempt=2)
    park.turn()
    assert park.rollout(number).wave == 1, "1 of 1 that count"


def test_finished_rollout_offers_again_what_had_failed_within_the_threshold(park: Park) -> None:
    number = park.create(rules={"error_percent": 20, "success_percent": 80})
    park.turn()
    park.say("rolled-back", "gw-03")
    park.say("confirmed", *(name for name in park.names if name != "gw-03"))
    park.turn()
    assert park.rollout(number).state == states.FINISHED
    park.change("offer_again", number, [], "li", park.clock())
    assert park.offered() == {"gw-03"}


def test_only_what_has_failed_is_offered_again_and_only_where_nothing_else_is_open(park: Park) -> None:
    number = park.create(target={"gateways": ["gw-00"]})
    park.turn()
    with pytest.raises(ConflictError, match="is offered"):
        park.change("offer_again", number, ["gw-00"], "li", park.clock())
    with pytest.raises(NotFoundError, match="gw-01"):
        park.change("offer_again", number, ["gw-01"], "li", park.clock())
    park.say("rolled-back", "gw-00")
    with park.services.database.writing() as session:
        actions.assign(session, "gw-00", "agent", NEW, "li", park.clock())
    with pytest.raises(ConflictError, match="already"):
        park.change("offer_again", number, ["gw-00"], "li", park.clock())


def test_gateway_retired_on_the_way_counts_nowhere(park: Park) -> None:
    number = park.create(waves=[{"gateways": ["gw-00", "gw-02"]}])
    assert park.offered() == {"gw-00", "gw-02"}
    with park.services.database.writing() as session:
        for name in ("gw-00", "gw-01"):
            session.get_one(Gateway, name).retired_ns = park.clock()
    assert park.offered() == {"gw-02"}
    assert (park.action("gw-00").state, park.action("gw-00").detail) == (states.CANCELLED, "the gateway was retired")
    park.say("confirmed", "gw-02")
    park.turn()
    assert park.rollout(number).wave == 1
    assert park.action("gw-01").state == states.CANCELLED


def test_gateway_moved_on_the_way_stays_in_its_wave(park: Park) -> None:
    number = park.create(waves=[{"sites": ["north"]}])
    with park.services.database.writing() as session:
        session.get_one(Gateway, "gw-01").site_key = "north"
    assert "gw-01" not in park.offered()
    assert "gw-01" in park.waves(number)[1]


def test_gateway_with_another_release_on_the_way_waits_for_its_end(park: Park) -> None:
    with park.services.database.writing() as session:
        other = actions.assign(session, "gw-00", "agent", NEW, "li", park.clock()).id
    number = park.create(target={"gateways": ["gw-00", "gw-02"]})
    park.turn()
    with park.services.database.reading() as session:
        assert actions.find_open(session, "gw-00", "agent").id == other
    assert park.action("gw-00").state == states.PLANNED
    with park.services.database.writing() as session:
        actions.note(session, actions.get(session, other), "rolled-back", "", park.clock())
    park.turn()
    park.turn()
    assert park.action("gw-00").state == states.OFFERED
    assert park.rollout(number).state == states.RUNNING


def test_preview_says_who_takes_no_part_and_why(park: Park) -> None:
    with park.services.database.writing() as session:
        session.add_all(
            [
                make_gateway("gw-old", reported={"installs": []}),
                make_gateway("gw-new", release=NEW),
                make_gateway("gw-arm", reported={"installs": ["agent"], "hardware": "armv7l"}),
                make_gateway("gw-gone", retired_ns=1),
                make_gateway("gw-mute", reported=None, reported_ns=None),
            ]
        )
    with park.services.database.reading() as session:
        seen = service.preview(session, read_plan({"name": "a", "version": NEW}), 10)
    assert {one.gateway.name: one.obstacle for one in seen.left_out} == {
        "gw-old": "installs-not",
        "gw-new": "runs-it",
        "gw-arm": "hardware",
        "gw-gone": "retired",
        "gw-mute": "unreported",
    }
    assert (seen.size, seen.needs_approval) == (10, True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "9.9.9"}, "no published agent of version 9.9.9"),
        ({"target": {"gateways": ["gw-77"]}}, "target.gateways: there is no gateway 'gw-77'"),
        ({"waves": [{"sites": ["east"]}]}, r"waves\[0\].sites: there is no site with a gateway 'east'"),
        ({"target": {"releases": ["7"]}}, "none of these gateways would take part"),
    ],
)
def test_plan_that_comes_to_nothing_is_refused(park: Park, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        park.create(**changes)


def test_large_rollout_needs_another_account_and_the_authors_own_approval_does_not_count(park: Park) -> None:
    number = park.create(start=False, approval_from=10)
    assert park.rollout(number).state == states.APPROVAL
    with pytest.raises(ConflictError, match="is approval"):
        park.change("start", number, park.clock())
    with pytest.raises(DeniedError, match="cannot approve it"):
        park.change("approve", number, "li")
    park.change("approve", number, "wang")
    assert (park.rollout(number).state, park.rollout(number).approvals) == (states.READY, ["wang"])
    park.change("start", number, park.clock())
    assert len(park.offered()) == 10


def test_small_rollout_needs_no_approval_unless_every_one_does(park: Park) -> None:
    assert park.rollout(park.create(start=False, approval_from=11)).state == states.READY
    assert park.rollout(park.create(start=False, approval_from=0)).state == states.APPROVAL


def test_denied_rollout_is_over_and_says_why(park: Park) -> None:
    number = park.create(start=False, approval_from=0)
    with pytest.raises(InvalidError, match="reason"):
        park.change("deny", number, "wang", "", park.clock())
    park.change("deny", number, "wang", "not before the audit", park.clock())
    rollout = park.rollout(number)
    assert (rollout.state, rollout.reason) == (states.DENIED, "wang: not before the audit")
    assert park.action("gw-00").state == states.CANCELLED
    with pytest.raises(ConflictError):
        park.change("approve", number, "wang")


def test_ddi_client_hears_of_an_image_only_while_its_rollout_offers_it(park: Park) -> None:
    def hears() -> bool:
        with park.services.database.writing() as session:
            return ddi.find_due(session, ddi.find_client(session, "gw-00"), "x86_64", park.clock()) is not None

    with park.services.database.writing() as session:
        session.add(make_artifact(kind="image"))
    number = park.create(kind="image", target={"gateways": ["gw-00"]})
    assert not hears()
    park.turn()
    assert hears()
    park.change("pause", number, "li", "")
    park.turn()
    assert not hears()
    park.change("resume", number)
    park.turn()
    assert hears()


def test_gateway_says_nothing_of_an_action_that_it_was_not_told_of(park: Park) -> None:
    park.create(start=False)
    park.say("confirmed", "gw-00")
    assert park.action("gw-00").state == states.PLANNED


def test_success_that_comes_in_the_moment_of_its_time_out_is_not_lost(park: Park) -> None:
    park.create(target={"gateways": ["gw-00"]}, rules={"timeout_s": 60})
    park.turn()
    park.clock.advance(61)
    told = Progress(action=str(park.action("gw-00").id), kind="agent", version=NEW, step="confirmed")
    with park.services.database.writing() as session:
        offering.note_progress(session, "gw-00", told, park.clock())
        session.flush()
        turn = Thread(target=park.turn)
        turn.start()
        turn.join(0.5)
    turn.join()
    assert park.action("gw-00").state == states.FINISHED


def test_two_operators_in_the_same_moment_give_a_gateway_one_release(park: Park) -> None:
    refused: list[ConflictError] = []

    def assign_too() -> None:
        try:
            with park.services.database.writing() as session:
                actions.assign(session, "gw-00", "agent", NEW, "wu", park.clock())
        except ConflictError as error:
            refused.append(error)

    with park.services.database.writing() as session:
        actions.assign(session, "gw-00", "agent", NEW, "li", park.clock())
        other = Thread(target=assign_too)
        other.start()
        other.join(0.5)
    other.join()
    assert len(refused) == 1


def test_turn_asks_as_much_of_the_database_for_many_gateways_as_for_few(services: Services) -> None:
    park = Park(services, 60)
    park.create(waves=[{"gateways": ["gw-00"]}], rules={"rate_per_minute": 5})
    asked: list[str] = []
    event.listen(services.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    park.turn()
    few = len(asked)
    park.say("confirmed", "gw-00")
    park.clock.advance(120)
    park.turn()
    park.turn()
    asked.clear()
    park.turn()
    assert len(asked) <= few
    with services.database.reading() as session:
        waiting = session.scalar(sa.select(sa.func.count()).where(actions.UpdateAction.state == states.WAITING))
    assert waiting == 54
