from __future__ import annotations

import threading
import time

from fleet.burden import TAGS_MOST
from fleet.live import Live, LiveHealth, LiveValue

GATEWAY = "gw-yufu-0001"


def value(number: float) -> LiveValue:
    return LiveValue(number, 0, 1)


def test_a_snapshot_holds_the_newest_value_of_each_tag() -> None:
    live = Live()
    live.put_values(GATEWAY, {"a": value(1.0), "b": value(2.0)})
    live.put_values(GATEWAY, {"a": value(3.0)})
    assert live.snapshot(GATEWAY) == {"a": value(3.0), "b": value(2.0)}
    assert live.snapshot("gw-silent") == {}


def test_waiting_returns_only_what_changed_since() -> None:
    live = Live()
    live.put_values(GATEWAY, {"a": value(1.0), "b": value(2.0)})
    seen, changes = live.wait(GATEWAY, 0, 0)
    assert set(changes.tags[GATEWAY]) == {"a", "b"}
    live.put_values(GATEWAY, {"b": value(5.0)})
    live.put_health(GATEWAY, LiveHealth({"clock": "synced"}, 7))
    seen, changes = live.wait(GATEWAY, seen, 0)
    assert changes.tags == {GATEWAY: {"b": value(5.0)}}
    assert changes.health[GATEWAY].document == {"clock": "synced"}
    assert not live.wait(GATEWAY, seen, 0)[1]


def test_another_gateway_does_not_wake_a_reader_but_alarms_do() -> None:
    live = Live()
    seen, _ = live.wait(GATEWAY, 0, 0)
    live.put_values("gw-other-0001", {"a": value(1.0)})
    began = time.monotonic()
    seen, changes = live.wait(GATEWAY, seen, 0.05)
    assert not changes
    assert time.monotonic() - began >= 0.05
    live.note_alarms()
    assert live.wait(GATEWAY, seen, 0)[1].alarms
    assert set(live.wait(None, 0, 0)[1].tags) == {"gw-other-0001"}


def test_a_change_and_the_end_wake_a_waiting_thread() -> None:
    live = Live()
    woken: list[bool] = []

    def read() -> None:
        seen, changes = live.wait(GATEWAY, 0, 10)
        woken.append(bool(changes))
        woken.append(bool(live.wait(GATEWAY, seen, 10)[1]))

    thread = threading.Thread(target=read)
    thread.start()
    live.put_values(GATEWAY, {"a": value(1.0)})
    while not woken:
        time.sleep(0.001)
    live.close()
    thread.join(timeout=5)
    assert woken == [True, False]


def test_a_gateway_that_invents_names_is_held_to_a_bound_and_its_known_tags_go_on() -> None:
    live = Live()
    for first in range(0, TAGS_MOST + 500, 500):
        live.put_values("gw", {f"t{n}": LiveValue(1.0, 0, None) for n in range(first, first + 500)})
    live.put_values("gw", {"t0": LiveValue(2.0, 0, None), "x" * 501: LiveValue(1.0, 0, None)})
    snapshot = live.snapshot("gw")
    assert len(snapshot) == TAGS_MOST
    assert snapshot["t0"].value == 2.0
    assert live.ignored == 501
    live.put_values("other", {"t0": LiveValue("x" * 100_000, 0, None)})
    assert len(str(live.snapshot("other")["t0"].value)) == 500
