"""First-out, priority, set aside; and what may be asked of an alarm."""

from __future__ import annotations

import pytest

from edge.local.order import FLOOD_NS, actions_of, arrange
from tests.edge.local.fake import NEW, FakeSite, alarm, flood
from wire.alarm import Standing

NS = 1_000_000_000


def test_most_urgent_first_then_who_came_first_and_normal_ones_not_at_all():
    arranged = arrange(
        [
            alarm("b", priority=2, raised_mono_ns=2),
            alarm("a", priority=2, raised_mono_ns=3),
            alarm("c", priority=1, raised_mono_ns=9),
            alarm("d", standing=Standing(0)),
        ]
    )
    assert [one.name for one in arranged.all] == ["c", "b", "a"]
    assert not arranged.first_out


def test_first_ten_of_a_flood_stand_first_whatever_their_priority():
    site = FakeSite()
    flood(site, 1000)
    arranged = arrange(site.alarms())
    assert [one.name for one in arranged.first_out] == [f"t-{number:04}.level:high" for number in range(10)]
    assert arranged.called[0].priority == 1
    assert len(arranged.all) == 1000


def test_ten_alarms_are_no_flood_nor_are_eleven_in_more_than_ten_minutes():
    assert not arrange([alarm(f"a{n}", raised_mono_ns=n) for n in range(10)]).first_out
    spread = FLOOD_NS // 10 + 1
    assert not arrange([alarm(f"a{n}", raised_mono_ns=n * spread) for n in range(11)]).first_out


def test_alarm_that_stood_for_long_before_the_flood_is_not_its_first():
    old = alarm("old", raised_mono_ns=0)
    rest = [alarm(f"a{n:02}", raised_mono_ns=3600 * NS + n) for n in range(20)]
    assert [one.name for one in arrange([old, *rest]).first_out] == [f"a{n:02}" for n in range(10)]


@pytest.mark.parametrize("flag", [Standing.SHELVED, Standing.SUPPRESSED, Standing.OUT_OF_SERVICE])
def test_what_is_set_aside_stands_behind_and_is_no_part_of_a_flood(flag):
    many = [alarm(f"a{n:02}", raised_mono_ns=n, standing=NEW | flag, priority=1) for n in range(20)]
    arranged = arrange([*many, alarm("b", priority=4)])
    assert arranged.all[0].name == "b"
    assert not arranged.first_out
    assert len(arranged.set_aside) == 20


@pytest.mark.parametrize(
    ("standing", "hours", "offered"),
    [
        (NEW, 8, {"acknowledge", "shelve", "remove"}),
        (NEW, 0, {"acknowledge", "remove"}),
        (Standing.ACTIVE | Standing.LATCHED, 8, {"shelve", "remove"}),
        (Standing.LATCHED | Standing.UNACKNOWLEDGED, 8, {"acknowledge", "shelve", "remove"}),
        (Standing.LATCHED, 8, {"reset", "shelve", "remove"}),
        (NEW | Standing.SHELVED, 8, {"acknowledge", "unshelve", "remove"}),
        (Standing.ACTIVE | Standing.OUT_OF_SERVICE, 8, {"restore"}),
    ],
)
def test_only_what_the_alarm_would_take_is_offered(standing, hours, offered):
    assert set(actions_of(alarm("a", standing=standing, shelve_most_h=hours))) == offered
