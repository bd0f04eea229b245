"""The launcher's states, walked through whole: whatever happens in whatever order, one of two releases runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from images.launcher.launch import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUSED,
    ROLLED_BACK,
    Last,
    Order,
    Release,
    State,
    Trial,
    begin,
    blame,
    count,
    end,
    fall_back,
    judge,
    objection,
    parse,
    parse_state,
    rebuild,
    tree_digest,
)

OLD, NEW = Release("a", "1.0", "aa"), Release("b", "2.0", "bb")
ORDER = Order("b", "2.0", "bb", action="a-1", tries=2, confirm_s=60.0, probe="fleet:8883")
AT = 1_800_000_000


def steps(state: State) -> Iterator[State]:
    """All that may happen next."""
    if state.trial is None:
        other = "b" if state.good.slot == "a" else "a"
        order = Order(other, "9.0", "cc", action="a-9", tries=2, confirm_s=1.0, probe="fleet:1")
        assert objection(state, order) == ""
        yield begin(state, order, "n")
        if state.previous is not None:
            yield fall_back(state)
        return
    if state.trial.left <= 0:
        for is_reached in (True, False):
            yield end(state, *judge(state.trial, is_reached, []), AT)
    else:
        yield end(state, REFUSED, "slot b does not hold what was ordered", AT)
        yield count(state)
    yield blame(state, "ended with status 1")
    yield end(state, CONFIRMED, "", AT)


def walk(depth: int) -> Iterator[tuple[State, State]]:
    seen, edge = set[State](), {State(OLD)}
    for _ in range(depth):
        ways = [(state, after) for state in edge for after in steps(state)]
        yield from ways
        seen |= edge
        edge = {after for _, after in ways} - seen


def test_walked_through_every_state_has_a_good_release_that_no_trial_writes_over() -> None:
    ways = list(walk(12))
    assert len(ways) > 100
    for _, after in ways:
        assert after.trial is None or after.trial.slot != after.good.slot
        assert after.previous is None or after.previous.slot != after.good.slot
        assert after.trial is None or after.previous is None, (
            "the slot that is tried holds no previous release any more"
        )


def test_walked_through_only_a_confirmation_or_damage_changes_what_is_good() -> None:
    for before, after in walk(12):
        if after.good != before.good:
            is_confirmed = after.last is not None and after.last.outcome == CONFIRMED
            assert (before.trial is not None and is_confirmed) or (after.good == before.previous and after.damage)


def test_walked_through_a_trial_only_ever_has_fewer_attempts_left() -> None:
    for before, after in walk(12):
        if before.trial is not None and after.trial is not None:
            assert after.trial.left <= before.trial.left
            assert after.trial.nonce == before.trial.nonce


def test_every_state_survives_its_file() -> None:
    for _, after in walk(12):
        assert parse_state(json.loads(json.dumps(asdict(after)))) == after


def trial(fault: str = "", probe: str = "fleet:8883") -> Trial:
    return Trial("b", "2.0", "bb", action="a-1", left=0, confirm_s=60.0, probe=probe, nonce="n", fault=fault)


@pytest.mark.parametrize(
    ("tried", "is_reached", "waits", "outcome", "reason"),
    [
        (trial("ended with status 1"), True, [], ROLLED_BACK, "ended with status 1"),
        (trial("ended with status 1"), False, [], ROLLED_BACK, "ended with status 1"),
        (trial(), True, ["bus tanks"], ROLLED_BACK, "not confirmed in any attempt of 60 s, waited for: bus tanks"),
        (trial(), False, [], INCONCLUSIVE, "not confirmed in any attempt of 60 s; fleet:8883 could not be reached"),
        (trial(probe=""), False, [], ROLLED_BACK, "not confirmed in any attempt of 60 s"),
    ],
)
def test_only_an_outage_without_a_fault_is_inconclusive(
    tried: Trial, is_reached: bool, waits: list[str], outcome: str, reason: str
) -> None:
    assert judge(tried, is_reached, waits) == (outcome, reason)


def test_confirmed_the_new_release_is_good_and_the_old_one_previous() -> None:
    confirmed = end(count(begin(State(OLD), ORDER, "n")), CONFIRMED, "", AT)
    assert confirmed == State(NEW, previous=OLD, last=Last("a-1", "2.0", CONFIRMED, "", AT))


def test_an_order_for_the_good_slot_is_refused() -> None:
    assert "good" in objection(State(NEW), ORDER)


def test_an_order_without_attempts_or_time_is_refused() -> None:
    assert objection(State(OLD), parse(Order, asdict(ORDER) | {"tries": 0}))
    assert objection(State(OLD), parse(Order, asdict(ORDER) | {"confirm_s": 0}))


@pytest.mark.parametrize(
    "wrong", [{"slot": "c"}, {"slot": "../a"}, {"tries": "2"}, {"confirm_s": None}, {"version": 2}, {"probe": None}]
)
def test_an_order_with_a_wrong_field_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        parse(Order, asdict(ORDER) | wrong)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"good": None}, {"good": asdict(OLD), "trial": {"slot": "b"}}])
def test_a_state_that_is_no_state_is_an_error(document: object) -> None:
    with pytest.raises(ValueError, match="missing or wrong"):
        parse_state(document)


def test_a_later_launcher_may_have_added_a_field() -> None:
    assert parse_state(asdict(State(OLD)) | {"more": 1}) == State(OLD)


@pytest.mark.parametrize(
    ("found", "tried", "state"),
    [
        ({"a": OLD}, "", State(OLD)),
        ({"b": NEW}, "", State(NEW)),
        ({"a": OLD, "b": NEW}, "", State(OLD, previous=NEW)),
        ({"a": OLD, "b": NEW}, "b", State(OLD)),
        ({"a": OLD, "b": NEW}, "a", State(NEW)),
        ({"b": NEW}, "b", State(NEW)),
        ({}, "", None),
    ],
)
def test_made_anew_the_slot_that_was_tried_comes_last(
    found: dict[str, Release], tried: str, state: State | None
) -> None:
    assert rebuild(found, tried) == state


class TestDigest:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        (tmp_path / "tree/lib").mkdir(parents=True)
        (tmp_path / "tree/lib/one.so").write_bytes(b"one")
        (tmp_path / "tree/run").write_bytes(b"run")
        (tmp_path / "tree/link").symlink_to("lib/one.so")
        return tmp_path / "tree"

    def test_is_the_same_for_the_same_tree_elsewhere(self, tree: Path) -> None:
        before = tree_digest(tree)
        assert tree_digest(tree.rename(tree.with_name("other"))) == before

    @pytest.mark.parametrize("change", ["content", "mode", "name", "link", "more", "less"])
    def test_sees_every_change(self, tree: Path, change: str) -> None:
        before = tree_digest(tree)
        match change:
            case "content":
                (tree / "run").write_bytes(b"ruN")
            case "mode":
                (tree / "run").chmod(0o755)
            case "name":
                (tree / "run").rename(tree / "ran")
            case "link":
                (tree / "link").unlink()
                (tree / "link").symlink_to("run")
            case "more":
                (tree / "lib/two.so").write_bytes(b"")
            case "less":
                (tree / "lib/one.so").unlink()
        assert tree_digest(tree) != before
