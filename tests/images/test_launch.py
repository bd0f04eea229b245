"""The launcher over real processes: agents that prove themselves, crash, hang, do not listen, and say nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from images.launcher.launch import SLOT, reaches, tree_digest
from tests.images.slots import CONFIRMS, LIVES, Yard, until

ORDERED = "if not trial() and (slots / 'order.json').exists(): sys.exit(0)\n"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path / "release")
    yard.fill("a", "1.0", ORDERED + LIVES)
    return yard


def test_the_first_start_takes_what_slot_a_holds(yard: Yard) -> None:
    with yard.launched():
        until(lambda: yard.starts, "a start")
        good = yard.state()["good"]
    assert (good["slot"], good["version"], yard.starts) == ("a", "1.0", ["a"])


def test_a_release_that_confirms_itself_is_good_and_runs_on(yard: Yard) -> None:
    yard.order("2.0", yard.fill("b", "2.0", CONFIRMS))
    with yard.launched():
        until(lambda: yard.last, "an end")
        assert yard.last == ("confirmed", "")
        assert (yard.state()["good"]["slot"], yard.state()["previous"]["slot"]) == ("b", "a")
        time.sleep(1)
        assert yard.starts == ["b"], "confirmed, it is not started again"
        until(lambda: not (yard.folder / "confirm.json").exists(), "the confirmation taken")


def test_an_agent_that_writes_an_order_and_exits_has_it_carried_out(yard: Yard) -> None:
    digest = yard.fill("b", "2.0", CONFIRMS)
    yard.fill("a", "1.0", "until = time.time() + 0.5\nwhile time.time() < until: tell('WATCHDOG=1')\nsys.exit(0)")
    with yard.launched():
        until(lambda: yard.starts, "a start")
        yard.order("2.0", digest)
        until(lambda: yard.last, "an end")
    assert yard.starts[-1] == "b"
    assert yard.last == ("confirmed", "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit(3)", "ended with status 3"),
        ("sys.exit(0)", "ended with status 0"),
        ("raise RuntimeError", "ended with status 1"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by signal 11, Segmentation fault"),
        ("os.kill(os.getpid(), 40)", "was ended by signal 40, Real-time signal 6"),
        (
            "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\n"
            "kept = []\nwhile True: kept.append(bytearray(2**20))",
            "ended with status 1",
        ),
        ("time.sleep(60)", "gave no sign of life for 1 s"),
        ("tell('READY=1')\ntime.sleep(60)", "gave no sign of life for 1 s"),
        ("signal.signal(signal.SIGABRT, signal.SIG_IGN)\ntime.sleep(60)", "gave no sign of life for 1 s"),
    ],
    ids=[
        "status",
        "ends",
        "raises",
        "segfault",
        "real-time-signal",
        "leaks",
        "never-alive",
        "hangs",
        "hangs-and-ignores",
    ],
)
def test_a_release_that_breaks_down_is_tried_again_then_rolled_back(yard: Yard, body: str, reason: str) -> None:
    yard.order("2.0", yard.fill("b", "2.0", body))
    with yard.launched("--watchdog-s", "1"):
        until(lambda: yard.starts[-1:] == ["a"], "the old release")
    assert yard.starts == ["b", "b", "a"]
    assert yard.last == ("rolled-back", reason)
    assert yard.state()["good"]["version"] == "1.0"
    assert not (yard.folder / "trial.json").exists()


def test_what_cannot_be_executed_is_rolled_back(yard: Yard) -> None:
    yard.fill("b", "2.0", LIVES)
    (yard.folder / "b/fengsui-edge/fengsui-edge").write_bytes(b"\x7fELF of another machine")
    yard.order("2.0", tree_digest(yard.folder / "b"), tries=1)
    with yard.launched():
        until(lambda: yard.last, "an end")
    assert yard.last == ("rolled-back", "cannot be started: Exec format error")


def test_a_release_that_does_not_confirm_in_time_says_what_it_waited_for(yard: Yard) -> None:
    waits = "(slots / 'waits.json').write_text(json.dumps({'nonce': trial()['nonce'], 'for': ['bus tanks']}))\n"
    with socket.create_server(("127.0.0.1", 0)) as fleet:
        yard.order(
            "2.0",
            yard.fill("b", "2.0", waits + LIVES),
            tries=1,
            confirm_s=1.0,
            probe=f"127.0.0.1:{fleet.getsockname()[1]}",
        )
        with yard.launched():
            until(lambda: yard.last, "an end")
    assert yard.last == ("rolled-back", "not confirmed in any attempt of 1 s, waited for: bus tanks")


def test_an_outage_of_the_fleet_speaks_against_no_release(yard: Yard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    yard.order("2.0", yard.fill("b", "2.0", LIVES), confirm_s=0.6, probe=f"127.0.0.1:{port}")
    with yard.launched():
        until(lambda: yard.starts[-1:] == ["a"], "the old release")
    assert yard.starts == ["b", "b", "a"]
    assert yard.last is not None
    assert yard.last[0] == "inconclusive"


def test_a_release_that_does_not_listen_is_killed(yard: Yard) -> None:
    yard.order(
        "2.0",
        yard.fill("b", "2.0", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LIVES),
        tries=1,
        confirm_s=0.6,
    )
    with yard.launched("--stop-s", "0.5"):
        until(lambda: yard.starts[-1:] == ["a"], "the old release")
    assert yard.last == ("rolled-back", "not confirmed in any attempt of 0.6 s")


def test_what_an_agent_leaves_running_ends_with_it(yard: Yard) -> None:
    leaves = (
        "child = os.fork()\nif not child: time.sleep(600)\n"
        "(slots / 'left').write_text(str(child))\ntell('WATCHDOG=1')\nsys.exit(1)"
    )
    yard.order("2.0", yard.fill("b", "2.0", leaves), tries=1)
    with yard.launched():
        until(lambda: yard.starts[-1:] == ["a"], "the old release")
        left = int((yard.folder / "left").read_text())
        until(lambda: is_gone(left), "the end of what was left")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_stopped_in_every_attempt_the_old_release_comes_back(yard: Yard) -> None:
    yard.order("2.0", yard.fill("b", "2.0", LIVES), tries=2)
    for count in range(3):
        with yard.launched():
            until(lambda count=count: len(yard.starts) > count, "a start")
    assert yard.starts == ["b", "b", "a"]
    assert yard.last == ("rolled-back", "not confirmed in any attempt of 20 s")


def test_a_confirmation_with_another_nonce_confirms_nothing(yard: Yard) -> None:
    yard.order("2.0", yard.fill("b", "2.0", "confirm('of another trial')\n" + LIVES), tries=1, confirm_s=1.5)
    with yard.launched():
        until(lambda: yard.last, "an end")
    assert yard.last == ("rolled-back", "not confirmed in any attempt of 1.5 s")


def test_a_slot_that_holds_something_else_than_ordered_is_not_run(yard: Yard) -> None:
    digest = yard.fill("b", "2.0", LIVES)
    yard.order("2.0", digest)
    (yard.folder / "b/fengsui-edge/more").write_text("put here by somebody")
    with yard.launched():
        until(lambda: yard.starts, "a start")
    assert yard.starts == ["a"]
    assert yard.last == ("refused", "slot b does not hold what was ordered")


@pytest.mark.parametrize("document", ["", "{", "[]", '{"slot": "a"}', '{"action": "a-1", "slot": "../b"}'])
def test_an_order_that_is_no_order_is_refused(yard: Yard, document: str) -> None:
    (yard.folder / "order.json").write_text(document)
    with yard.launched():
        until(lambda: yard.starts, "a start")
        until(lambda: not (yard.folder / "order.json").exists(), "the order gone")
    assert yard.starts == ["a"]
    assert yard.last is not None
    assert yard.last[0] == "refused"


@pytest.mark.parametrize("garbage", [b"", b"{", b"\0" * 512, b"[1]", b'{"good": {"slot": "c"}}'])
def test_a_broken_state_is_kept_aside_and_made_anew(yard: Yard, garbage: bytes) -> None:
    (yard.folder / SLOT).write_bytes(garbage)
    with yard.launched():
        until(lambda: yard.starts, "a start")
        assert yard.state()["good"]["slot"] == "a"
    assert (yard.folder / "slot.broken").read_bytes() == garbage
    assert "made anew" in yard.log()


def test_a_slot_that_cannot_be_digested_is_run_if_there_is_no_other(yard: Yard) -> None:
    os.mkfifo(yard.folder / "a/fengsui-edge/pipe")
    with yard.launched():
        until(lambda: yard.starts == ["a"], "a start")
    assert "damaged" in yard.log()


def confirmed(yard: Yard) -> None:
    """Slot b is good, slot a the previous one."""
    yard.order("2.0", yard.fill("b", "2.0", CONFIRMS))
    with yard.launched():
        until(lambda: yard.last, "an end")


def test_a_damaged_good_slot_gives_way_to_the_previous_one(yard: Yard) -> None:
    confirmed(yard)
    (yard.folder / "b/release.json").write_text("{}")
    with yard.launched():
        until(lambda: yard.starts[-1] == "a", "the previous release")
        assert yard.state()["good"]["version"] == "1.0"
    assert "damaged" in yard.state()["damage"]


def test_damaged_on_both_sides_the_good_one_runs_all_the_same(yard: Yard) -> None:
    confirmed(yard)
    for slot in ("a", "b"):
        (yard.folder / slot / "release.json").write_text("{}")
    count = len(yard.starts)
    with yard.launched():
        until(lambda: len(yard.starts) > count, "a start")
    assert yard.starts[-1] == "b"


def test_without_any_agent_it_says_so_and_ends(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "release")
    with yard.launched() as launcher:
        assert launcher.wait(20) != 0
    assert "no slot" in yard.log()


def test_an_agent_that_keeps_failing_is_started_again(yard: Yard) -> None:
    yard.fill("a", "1.0", "sys.exit(1)")
    with yard.launched():
        until(lambda: len(yard.starts) >= 2, "another start")


def test_a_killed_launcher_takes_the_agent_along(yard: Yard) -> None:
    yard.fill("a", "1.0", "(slots / 'agent').write_text(str(os.getpid()))\n" + LIVES)
    with yard.launched() as launcher:
        agent = int(until(lambda: (yard.folder / "agent").exists() and (yard.folder / "agent").read_text(), "an agent"))
        launcher.kill()
        until(lambda: is_gone(agent), "the agent's end")


def test_signals_reach_the_agent(yard: Yard) -> None:
    told = "signal.signal(signal.SIGTERM, lambda *_: (slots / 'told').write_text('') and 0 or sys.exit(0))\n"
    yard.fill("a", "1.0", told + LIVES)
    with yard.launched() as launcher:
        until(lambda: yard.starts, "a start")
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(20) == 0
    assert (yard.folder / "told").exists()


def test_systemd_hears_that_the_agent_is_ready_and_the_launcher_alive(yard: Yard, tmp_path: Path) -> None:
    yard.fill("a", "1.0", "tell('READY=1\\nMAINPID=1')\ntell('STATUS=connected')\n" + LIVES)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "systemd"))
        systemd.settimeout(20)
        with yard.launched(NOTIFY_SOCKET=str(tmp_path / "systemd"), WATCHDOG_PID=str(os.getpid())):
            heard: set[str] = set()
            while not {"READY=1", "STATUS=connected", "WATCHDOG=1"} <= heard:
                heard.add(systemd.recv(4096).decode())
    assert not any("MAINPID" in message for message in heard), "the main process stays the launcher"


@pytest.mark.parametrize("garbage", [None, b"{"])
def test_a_first_start_on_a_disk_that_takes_nothing_runs_what_is_there(yard: Yard, garbage: bytes | None) -> None:
    (yard.folder / "slot.part").mkdir()
    if garbage is not None:
        (yard.folder / SLOT).write_bytes(garbage)
    with yard.launched():
        until(lambda: yard.starts == ["a"], "a start")


def test_an_attempt_that_cannot_be_counted_does_not_begin(yard: Yard) -> None:
    yard.order("2.0", yard.fill("b", "2.0", "(slots / 'slot.part').mkdir()\n" + LIVES), confirm_s=0.6)
    with yard.launched():
        until(lambda: yard.starts[-1:] == ["a"], "the good release")
        assert not (yard.folder / "trial.json").exists()
    assert yard.starts == ["b", "a"]
    assert "tries nothing" in yard.log()
    assert yard.state()["good"]["slot"] == "a"


def test_a_systemd_that_does_not_listen_holds_nothing_up(yard: Yard, tmp_path: Path) -> None:
    tells = "for _ in range(40): tell('READY=1')\n(slots / 'told').write_text('')\n"
    yard.fill("a", "1.0", tells + LIVES)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "systemd"))
        with yard.launched(NOTIFY_SOCKET=str(tmp_path / "systemd")) as launcher:
            until((yard.folder / "told").exists, "an agent that told all")
            launcher.send_signal(signal.SIGTERM)
            assert launcher.wait(20) == 0


def test_a_disk_that_takes_nothing_more_runs_the_good_release(yard: Yard) -> None:
    with yard.launched():
        until(lambda: yard.starts, "a start")
    yard.order("2.0", yard.fill("b", "2.0", LIVES))
    (yard.folder / "slot.part").mkdir()  # nothing can be written in its place
    with yard.launched():
        until(lambda: len(yard.starts) > 1, "a start")
    assert yard.starts == ["a", "a"]
    assert yard.state()["trial"] is None
    assert "tries nothing" in yard.log()
    (yard.folder / "slot.part").rmdir()
    with yard.launched():
        until(lambda: yard.starts[-1] == "b", "the trial, later")


@pytest.mark.parametrize("probe", ["127.0.0.1:1", "nowhere.invalid:8883", "no-port", ":", "[::1]:x"])
def test_what_cannot_be_reached_is_not_reached(probe: str) -> None:
    assert not reaches(probe)


def test_trial_json_tells_the_agent_that_it_is_on_trial(yard: Yard) -> None:
    keeps = "(slots / 'kept').write_text(json.dumps(trial() | {'own': os.environ['FENGSUI_SLOT']}))\n"
    yard.order("2.0", yard.fill("b", "2.0", keeps + CONFIRMS), tries=3, confirm_s=20.0)
    with yard.launched():
        until(lambda: yard.last, "an end")
    kept = json.loads((yard.folder / "kept").read_text())
    assert kept.pop("nonce")
    assert kept.pop("own") == "b"
    assert kept == {"slot": "b", "version": "2.0", "action": "a-1", "left": 2, "confirm_s": 20.0}
