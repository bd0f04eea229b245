"""The laptop's side of a visit: what a bad serial line does, a gateway that begins anew, an output that is refused."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provisioning.cli import main
from provisioning.client import DoorError
from provisioning.errors import RequestError
from provisioning.kit import gateway as module
from provisioning.kit.gateway import Console, Gateway
from provisioning.kit.onsite import Commission, say, shorten, to_lines, try_outputs
from provisioning.kit.texts import LANGUAGES, Texts
from tests.drivers.ptys import cable
from wire import onsite

LOOK = onsite.Look(token="t", id="mine")
MINE = msgspec.json.encode(onsite.Answer(result={"it": "is"}, id="mine")) + b"\n"
SIREN = {"kind": "output", "subject": "siren", "title": "", "state": "done", "fault": "", "detail": ""}


@contextmanager
def gateway_at(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A gateway at a serial line, which answers each line as it is told. Yields our end."""
    with cable() as (ours, theirs):
        port = os.open(theirs, os.O_RDWR | os.O_NOCTTY)

        def serve() -> None:
            with os.fdopen(os.dup(port), "rb", buffering=0) as line:
                while (asked := line.readline()) != b"end\n":
                    os.write(port, answer(asked.strip()) if asked.strip() else b"")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ours
        finally:
            end = os.open(ours, os.O_RDWR | os.O_NOCTTY)
            os.write(end, b"\nend\n")
            thread.join()
            os.close(end)
            os.close(port)


@pytest.mark.parametrize(
    "before",
    [
        b"gateway login: \r\n",
        b"\x00\xff\xfe\n",
        b"[" * 10_000 + b"\n",
        MINE[: len(MINE) // 2] + b"\n",
        msgspec.json.encode(onsite.Answer(error="the line before was cut off", name="not-understood")) + b"\n",
        msgspec.json.encode(onsite.Answer(result={"it": "was asked before"}, id="earlier")) + b"\n",
        msgspec.json.encode(LOOK) + b"\n",
    ],
    ids=["login", "noise", "deep", "cut", "garbled before", "earlier", "echo"],
)
def test_only_the_answer_to_this_request_counts_on_a_serial_line(before: bytes) -> None:
    with gateway_at(lambda _: before + MINE) as device:
        console = Console(device, 115_200)
        assert console.exchange(LOOK).result == {"it": "is"}
        console.close()


def test_a_line_that_is_cut_in_the_middle_is_told_and_the_next_request_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 1.0)
    rest = MINE.replace(b"mine", b"next")
    answers = iter([MINE[:10], MINE[10:] + rest])
    with gateway_at(lambda _: next(answers)) as device:
        console = Console(device, 115_200)
        with pytest.raises(DoorError, match="nothing that is an answer"):
            console.exchange(LOOK)
        assert console.exchange(msgspec.structs.replace(LOOK, id="next")).result == {"it": "is"}
        console.close()


class FakeWay:
    """Answers each request by its tag with what a test put there; the last one counts for ever."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def exchange(self, request: onsite.Request) -> onsite.Answer:
        do = str(request.__struct_config__.tag)
        self.asked.append(do)
        left = self.answers.get(do, [{}])
        result = left.pop(0) if len(left) > 1 else left[0]
        if "error" in result:
            return onsite.Answer(error=result["error"], name="not-done", id=request.id)
        return onsite.Answer(result=result, id=request.id)

    def close(self) -> None:
        """Nothing is open."""


def standing(run: str, gateway: str = "gw-yufu-0001") -> dict[str, Any]:
    return {"run": run, "who": {"gateway": gateway}}


def test_a_gateway_that_has_that_name_already_is_waited_for_until_it_has_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    way = FakeWay(look=[standing("one"), standing("one"), standing("one"), standing("two")],
                  take=[{"gateway": "gw-yufu-0001"}])  # fmt: skip
    assert Gateway(way, "2468013579", "李工").hand_over(b"bundle") == "gw-yufu-0001"
    assert way.asked.count("look") == 4


@pytest.mark.parametrize(
    ("yes", "outcome"), [((), "not-tested"), ((True,), "not-seen"), ((True, True), "seen")], ids=str
)
def test_an_output_counts_as_seen_only_when_somebody_has_seen_it(yes: tuple[bool, ...], outcome: str) -> None:
    way, made, said = FakeWay(), Commission(checks=[SIREN]), iter((*yes, False))
    try_outputs(Gateway(way, "2468013579", "李工"), made, lambda _: next(said), Texts("en"))
    assert made.outputs == {"siren": outcome}
    assert ("try-output" in way.asked) == bool(yes)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_output_that_the_gateway_does_not_switch_ends_nothing_and_is_written_down(language: str) -> None:
    fan = SIREN | {"subject": "fan"}
    way = FakeWay(**{"try-output": [{"error": "output siren is locked"}, {}]})
    made = Commission(checks=[SIREN, fan])
    try_outputs(Gateway(way, "2468013579", "李工"), made, lambda _: True, Texts(language))
    assert made.outputs == {"siren": "refused", "fan": "seen"}
    assert "output siren is locked" in say(Texts(language), "gw-yufu-0001", made)


def test_what_the_gateway_refuses_is_raised_by_its_name() -> None:
    gateway = Gateway(FakeWay(look=[{"error": "no"}]), "2468013579", "李工")
    with pytest.raises(RequestError, match="no") as raised:
        gateway.look()
    assert raised.value.name == "not-done"


def test_of_a_long_scan_the_book_keeps_what_the_fleet_takes() -> None:
    found = [{"device": {"unit": n}, "matches": [{"model": "x" * 500}] * 9} for n in range(200)]
    kept = shorten({"url": "rtu:///dev/ttyUSB0", "found": found, "noise": ["9600 8N1"] * 10_000})
    assert len(msgspec.json.encode(kept)) < 64 * 1024
    assert kept["found"][0]["device"] == {"unit": 0}


def test_a_large_gateway_goes_into_lines_that_the_fleet_takes_and_nothing_is_left_out() -> None:
    checks = [SIREN | {"subject": f"gd-{n}", "detail": "值" * 200} for n in range(256)]
    values = {"plc": [{"tag": f"plc.t{n}", "title": "液位" * 20, "value": n} for n in range(2000)], "none": []}
    lines = list(to_lines(Commission(checks=checks, values=values)))
    assert all(len(msgspec.json.encode(detail)) < 64 * 1024 for _, detail in lines)
    assert [one for kind, detail in lines if kind == "checklist" for one in detail["checks"]] == checks
    assert [one for kind, detail in lines if kind == "reading" for one in detail["values"]] == values["plc"]


def test_a_cable_that_is_not_there_is_said_in_chinese(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", "--serial", str(tmp_path / "none"), "--language", "zh"]) == 1
    assert "连接不通" in capsys.readouterr().err
