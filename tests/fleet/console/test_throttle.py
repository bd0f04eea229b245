from __future__ import annotations

from fleet.throttle import Throttle


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_some_failures_are_free_then_the_key_waits_and_is_free_again() -> None:
    seconds = Seconds()
    throttle = Throttle(seconds, failures=3, window_s=60)
    for _ in range(2):
        throttle.note_failure("a")
        seconds.now += 10
    assert throttle.wait_s("a") == 0
    throttle.note_failure("a")
    assert throttle.wait_s("a") == 40
    assert throttle.wait_s("b") == 0
    seconds.now += 41
    assert throttle.wait_s("a") == 0


def test_success_forgets_the_failures() -> None:
    throttle = Throttle(Seconds(), failures=1)
    throttle.note_failure("a")
    assert throttle.wait_s("a") > 0
    throttle.forget("a")
    assert throttle.wait_s("a") == 0
