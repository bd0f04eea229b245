"""What a technician's laptop may ask of a gateway, by its page's server and by the serial console."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from edge.local import errand
from edge.local.door import SiteDoor
from edge.local.errand import Errand, ErrandError
from edge.local.socket import ConsoleSocket
from edge.local.technician import Technician, _place
from edge.local.workplace import Workplace
from edge.tools.console import relay
from provisioning.kit.gateway import Console
from tests.drivers.ptys import cable
from tests.edge.local.fake import FakeSite
from tests.edge.local.serving import make_workplace
from tests.edge.local.test_page import CODE, HASHED
from wire.checklist import Check
from wire.onsite import LINE_MOST, PATH, Answer, SignIn, Take

PATIENT = """
import time
try:
    time.sleep(60)
except KeyboardInterrupt:
    print('{"complete": false}')
"""
"""A tool that goes on until it is ended, and then says what it has."""


class Gateway:
    """A workplace that notes what is done to it."""

    def __init__(self, site: FakeSite) -> None:
        self.journal: list[tuple[str, str]] = []
        self.taken: list[object] = []
        self.used: tuple[str, ...] = ("tcp://127.0.0.1:1502",)
        self.work = Workplace(
            site=site,
            look=lambda: (Check(kind="clock", state="done", detail="synced"),),
            lines=lambda: self.used,
            try_output=lambda name, lasts_s: f"output {name} is on for {lasts_s:g} s",
            say=lambda event, detail: self.journal.append((event, detail)),
        )
        self.now_s = 0.0
        self.technician = Technician(self.work, SiteDoor(HASHED, lambda: self.now_s))

    async def ask(self, do: str, address: str = "10.0.0.9", **fields):
        octets = await self.technician.reply(json.dumps({"do": do, **fields}).encode(), address)
        return json.loads(octets)

    async def sign_in(self) -> str:
        return (await self.ask("sign-in", code=CODE, name="李工"))["result"]["token"]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway(FakeSite())
    yield made
    await made.technician.close()


async def test_nothing_is_told_to_whom_does_not_know_the_code(gateway: Gateway) -> None:
    for do in ("look", "ports", "came", "end"):
        assert (await gateway.ask(do, token="guess"))["name"] == "signed-out"
    assert (await gateway.ask("scan", token="", line="tcp://10.0.0.5"))["name"] == "signed-out"
    assert (await gateway.ask("sign-in", code="wrong-code", name="李工"))["name"] == "wrong-code"
    assert (await gateway.ask("sign-in", code=CODE, name=" \n "))["name"] == "name"
    assert gateway.journal == []


async def test_wrong_codes_make_wait_and_the_wait_is_told(gateway: Gateway) -> None:
    for _ in range(4):
        assert (await gateway.ask("sign-in", code="wrong-code", name="李工"))["name"] == "wrong-code"
    answer = await gateway.ask("sign-in", code=CODE, name="李工")
    assert answer["name"] == "wait"
    assert answer["wait_s"] > 0
    assert (await gateway.ask("sign-in", "10.0.0.8", code=CODE, name="李工"))["result"]["token"]


@pytest.mark.parametrize(
    "octets",
    [b"", b"{", b"[]", b'{"do": "shell"}', b'{"do": "look"}', b"\xff", b'{"do": "scan", "token": 1}', b"[" * 2000],
)
async def test_what_is_no_request_is_answered_as_such(gateway: Gateway, octets: bytes) -> None:
    answer = json.loads(await gateway.technician.reply(octets, "10.0.0.9"))
    assert answer["name"] == "not-understood"


async def test_look_tells_who_it_is_and_how_it_stands(gateway: Gateway) -> None:
    result = (await gateway.ask("look", token=await gateway.sign_in()))["result"]
    assert result["who"]["gateway"] == gateway.work.site.identity().gateway
    assert result["checks"][0]["kind"] == "clock"
    assert result["lines"] == ["tcp://127.0.0.1:1502"]


async def test_line_that_is_acquired_is_not_disturbed(gateway: Gateway) -> None:
    token = await gateway.sign_in()
    gateway.used = ("tcp://127.0.0.1:1502", "rtu:///dev/ttyS0?baud=9600")
    for line in ("tcp://127.0.0.1:1502", "tcp://127.0.0.1:1502/", "serial:///dev/ttyS0", "rtu:///dev/../dev/ttyS0"):
        assert (await gateway.ask("scan", token=token, line=line))["name"] == "line-in-use"
        assert (await gateway.ask("read", token=token, line=line))["name"] == "line-in-use"


def test_two_ways_to_write_a_line_are_one() -> None:
    assert _place("tcp://10.0.0.5") == _place("tcp://10.0.0.5:502/") != _place("tcp://10.0.0.5:503")
    assert _place("tcp://[fe80::1]") == _place("tcp://[fe80::1]:502")


@pytest.mark.parametrize("line", ["--config=/etc/passwd", "ttyUSB0", "", "--json"])
async def test_no_word_of_a_request_is_an_option(gateway: Gateway, line: str) -> None:
    token = await gateway.sign_in()
    assert (await gateway.ask("scan", token=token, line=line))["name"] in {"line", "word"}
    answer = await gateway.ask("scan", token=token, line="tcp://10.0.0.5", units="--anyway")
    assert answer["name"] == "word"
    assert (await gateway.ask("came", token=token))["name"] == "not-done"


async def test_survey_runs_beside_and_tells_what_it_found(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"url": "tcp://10.0.0.5", "found": [{"kind": "modbus"}]}
    program = f"import json, sys; assert sys.argv[1] == 'scan'; print({json.dumps(told)!r})"
    monkeypatch.setattr(errand, "OWN", [sys.executable, "-c", program])
    token = await gateway.sign_in()
    assert (await gateway.ask("scan", token=token, line="tcp://10.0.0.5", units="1-3"))["error"] == ""
    answer = {"is_over": False}
    async with asyncio.timeout(20):
        while not answer["is_over"]:
            await asyncio.sleep(0.02)
            answer = (await gateway.ask("came", token=token))["result"]
    assert answer["told"] == told
    assert ("technician-asks", "李工: scan tcp://10.0.0.5 --units 1-3") in gateway.journal


async def test_one_survey_at_a_time_and_it_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    program = PATIENT
    monkeypatch.setattr(errand, "OWN", [sys.executable, "-c", program])
    one = Errand()
    with pytest.raises(ErrandError, match="nothing was begun"):
        one.came()
    one.begin(["scan", "tcp://10.0.0.5"])
    with pytest.raises(ErrandError, match="under way"):
        one.begin(["scan", "tcp://10.0.0.6"])
    async with asyncio.timeout(20):
        while not one.came()[0]:
            await asyncio.sleep(0.1)
            one.end()
    assert one.came()[1] in ({"complete": False}, {"error": one.came()[1].get("error")})
    await one.close()


async def test_outputs_are_tried_in_the_technicians_name(gateway: Gateway) -> None:
    token = await gateway.sign_in()
    assert (
        "is on for 2 s" in (await gateway.ask("try-output", token=token, output="siren", lasts_s=2))["result"]["said"]
    )
    assert (await gateway.ask("seen", token=token, output="siren", is_seen=False))["error"] == ""
    assert ("output-seen", "李工: output siren was NOT seen to act") in gateway.journal
    assert (await gateway.ask("try-output", token=token, output="siren", lasts_s=600))["name"] == "not-understood"


async def test_bundle_that_is_none_or_has_nobody_to_trust_changes_nothing(gateway: Gateway) -> None:
    token = await gateway.sign_in()
    bundle = base64.b64encode(b"{}").decode()
    assert (await gateway.ask("take", token=token, bundle=bundle))["name"] == "enrol"
    gateway.work.take = lambda bundle: gateway.taken.append(bundle) or "gw-yufu-0001"
    assert (await gateway.ask("take", token=token, bundle=bundle))["name"] == "unreadable"
    assert gateway.taken == []


async def test_values_of_an_instrument_and_of_none(gateway: Gateway) -> None:
    token = await gateway.sign_in()
    device = gateway.work.site.devices()[0].name
    assert "values" in (await gateway.ask("values", token=token, device=device))["result"]
    assert device in (await gateway.ask("values", token=token, device="nowhere"))["hint"]


async def test_page_server_answers_a_laptop_and_refuses_what_is_too_large(gateway: Gateway) -> None:
    from edge.local.server import LocalServer

    door = SiteDoor(HASHED)
    server = LocalServer(gateway.work.site, door, Technician(make_workplace(gateway.work.site), door))
    port = await server.start("127.0.0.1", 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.post(PATH, json={"do": "sign-in", "code": CODE, "name": "李工"})
            token = answer.json()["result"]["token"]
            large = {"do": "take", "token": token, "bundle": base64.b64encode(bytes(500_000)).decode()}
            assert (await client.post(PATH, json=large)).json()["name"] == "enrol"
            assert (await client.post(PATH, content=bytes(LINE_MOST + 1))).status_code == 413
            assert (await client.get(PATH)).status_code == 405
    finally:
        await server.stop()


async def test_console_answers_line_by_line_and_survives_garbage(gateway: Gateway, tmp_path: Path) -> None:
    console = ConsoleSocket(gateway.technician, tmp_path / "on-site.sock")
    await console.start()
    lines = [
        b"\xff\xfe garbage\n",
        json.dumps({"do": "sign-in", "code": CODE, "name": "li"}).encode() + b"\n",
        b'{"do": "lo',
    ]
    command = [sys.executable, "-m", "edge.cli", "console", "--data", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(b"".join(lines)), 30)
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["name"] for answer in answers] == ["not-understood", "", "not-understood"]
    assert answers[1]["result"]["token"]
    assert "cut off" in answers[2]["error"]
    await console.stop()


def test_console_without_an_agent_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge.cli", "console", "--data", str(tmp_path)]
    done = subprocess.run(command, input=b'{"do": "look", "token": ""}\n', capture_output=True, check=True)
    assert json.loads(done.stdout)["name"] == "no-agent"


@pytest.mark.parametrize(
    ("brought", "asked"),
    [
        (b"x" * (LINE_MOST * 3) + b"\none\n", [b"one\n"]),
        (b"\n\r\n \none\n", [b"one\n"]),
        (b"one\n\x04\ntwo\n", [b"one\n"]),
        (b"one\ntw", [b"one\n"]),
    ],
    ids=["too long", "empty", "left", "cut"],
)
def test_console_asks_what_is_a_whole_line_and_nothing_else(brought: bytes, asked: list[bytes]) -> None:
    seen: list[bytes] = []
    answers = io.BytesIO()

    def ask(line: bytes) -> bytes:
        seen.append(line)
        return b"{}\n"

    relay(io.BytesIO(brought), answers, ask)
    assert seen == asked
    assert answers.getvalue().count(b"\n") == len(asked) + (brought[:1] == b"x") + brought.endswith(b"tw")


def test_console_says_to_which_request_no_agent_answers() -> None:
    answers = io.BytesIO()

    def ask(_line: bytes) -> bytes:
        raise ConnectionRefusedError

    relay(io.BytesIO(b'{"do": "look", "id": "7"}\n'), answers, ask)
    answer = json.loads(answers.getvalue())
    assert (answer["name"], answer["id"]) == ("no-agent", "7")


async def test_a_bundle_passes_a_terminal_that_cuts_lines_and_sends_them_back(gateway: Gateway, tmp_path: Path) -> None:
    socket = ConsoleSocket(gateway.technician, tmp_path / "on-site.sock")
    await socket.start()
    with cable() as (ours, theirs):
        line = os.open(theirs, os.O_RDWR | os.O_NOCTTY)
        attributes = termios.tcgetattr(line)
        attributes[3] |= termios.ICANON | termios.ECHO
        termios.tcsetattr(line, termios.TCSANOW, attributes)
        command = [sys.executable, "-m", "edge.cli", "console", "--data", str(tmp_path)]
        process = await asyncio.create_subprocess_exec(*command, stdin=line, stdout=line)
        try:
            answer = await asyncio.wait_for(asyncio.to_thread(bring, ours, bytes(20_000)), 60)
        finally:
            process.kill()
            await process.wait()
            os.close(line)
    assert answer.name == "enrol"
    await socket.stop()


def bring(device: str, bundle: bytes) -> Answer:
    console = Console(device, 115_200)
    signed_in = console.exchange(SignIn(code=CODE, name="李工", id="1"))
    answer = console.exchange(Take(token=signed_in.result["token"], bundle=bundle, id="2"))
    console.close()
    return answer
