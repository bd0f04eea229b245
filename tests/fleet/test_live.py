from __future__ import annotations

import threading
import time

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
