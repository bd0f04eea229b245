"""`fengsui-edge alarms` against the agent's socket, over a real one; and `local-code`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from edge import cli
from edge.errors import EdgeError
from edge.local.code import read_code
from edge.local.exchange import LINE_MOST, NOT_KEPT, SOCKET, Answer, Question
from edge.local.socket import AlarmSocket, may_ask, peer_of
from edge.operating import Operation
from edge.tools.alarms import ask
from tests.edge.local.fake import FakeSite, flood
from wire.alarm import AlarmRequest, Standing

ALARM = "gd-03.gas:high"


@pytest.fixture
def site() -> FakeSite:
    return FakeSite()


@pytest.fixture
async def folder(site: FakeSite, tmp_path: Path) -> AsyncIterator[Path]:
    server = AlarmSocket(site, tmp_path / SOCKET)
    await server.start()
    yield tmp_path
    await server.stop()


async def call(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = await asyncio.to_thread(cli.main, ["alarms", *words, "--data", str(folder)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


async def test_list_shows_the_most_urgent_first_with_state_and_source(folder, capsys):
    status, out, _ = await call(folder, capsys)
    lines = out.splitlines()
    assert status == 0
    assert lines[1].split()[:3] == ["1", "t-101.level:high-high", "unacknowledged"]
    assert "GB/T 50493-2019" in lines[1]
    assert "t-101.level:low" not in out


async def test_list_of_a_flood_begins_with_its_first_ten(folder, site, capsys):
    flood(site, 1000)
    _, out, _ = await call(folder, capsys, "--json")
    names = [one["name"] for one in json.loads(out)["alarms"]]
    assert len(names) == 1000
    assert names[:10] == [f"t-{number:04}.level:high" for number in range(10)]


async def test_acknowledgement_tells_who_and_where(folder, site, capsys, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "zhangsan")
    status, _, err = await call(folder, capsys, "ack", ALARM, "--occurrence", "7")
    assert (status, err) == (0, "acknowledge\n")
    (asked,) = site.asked
    assert (asked.action, asked.by, asked.where) == ("acknowledge", "zhangsan", "command-line")
    assert asked.request == AlarmRequest(alarm=ALARM, occurrence=7)
    assert site.raised[ALARM].standing == Standing.ACTIVE


async def test_shelving_takes_minutes_and_a_reason(folder, site, capsys):
    status, out, _ = await call(folder, capsys, "shelve", ALARM, "--minutes", "45", "--reason", "标定", "--json")
    assert status == 0
    assert json.loads(out)["said"] == "shelve"
    assert site.asked[0].request == AlarmRequest(alarm=ALARM, minutes=45, comment="标定")


@pytest.mark.parametrize("action", ["unshelve", "reset", "remove", "restore"])
async def test_every_action_is_handed_over(folder, site, capsys, action):
    assert (await call(folder, capsys, action, ALARM, "--reason", "r"))[0] == 0
    assert site.asked[0].action == action


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ack"], "which alarm?"),
        (["shelve", ALARM], "why?"),
        (["remove", ALARM, "--reason", " "], "why?"),
        (["shelve", ALARM, "--reason", "r", "--minutes", "-1"], "--minutes -1 is not taken"),
        (["shelve", ALARM, "--reason", "r", "--minutes", "nan"], "--minutes nan is not taken"),
    ],
)
async def test_what_is_missing_is_told_before_anything_is_asked(folder, site, capsys, words, said):
    status, _, err = await call(folder, capsys, *words)
    assert status == 1
    assert said in err
    assert not site.asked


async def test_what_the_disk_does_not_take_is_told_as_such(folder, site, capsys):
    site.takes = False
    status, _, err = await call(folder, capsys, "ack", ALARM)
    assert (status, err) == (0, f"acknowledge; {NOT_KEPT}\n")


async def test_refusal_is_an_error_with_its_reason(folder, site, capsys):
    site.refusal = "it was raised anew meanwhile"
    status, out, err = await call(folder, capsys, "ack", ALARM, "--json")
    assert status == 1
    assert json.loads(out)["error"] == "it was raised anew meanwhile"
    assert "raised anew" in err


async def test_without_an_agent_it_says_where_it_looked_and_what_to_do(tmp_path, capsys):
    status, _, err = await call(tmp_path, capsys)
    assert status == 1
    assert f"no agent answers at {tmp_path / SOCKET}" in err
    assert "start it" in err


async def test_socket_left_behind_by_a_killed_agent_is_no_agent_and_no_obstacle(site, tmp_path, capsys):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET))
    left.close()
    assert (await call(tmp_path, capsys))[0] == 1
    server = AlarmSocket(site, tmp_path / SOCKET)
    await server.start()
    assert (await call(tmp_path, capsys))[0] == 0
    await server.stop()
    assert not (tmp_path / SOCKET).exists()


async def test_only_its_owner_reaches_the_socket(folder):
    mode = (folder / SOCKET).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_kernel_tells_who_asks_and_others_may_not():
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_of(one) == os.geteuid()
    assert may_ask(0)
    assert may_ask(os.geteuid())
    assert not may_ask(os.geteuid() + 4711)


async def test_caller_cannot_pretend_to_be_the_page_or_the_fleet(folder, site):
    operation = Operation(
        action="acknowledge", request=AlarmRequest(alarm=ALARM), by="x", where="console", command="c-1"
    )
    await asyncio.to_thread(ask, folder / SOCKET, Question(operation=operation))
    assert (site.asked[0].where, site.asked[0].command) == ("command-line", "")


@pytest.mark.parametrize("line", [b"{}x", b"[]", b'{"operation": 1}', b'{"unknown": 1}', b"\xff"])
async def test_question_that_is_none_gets_an_answer(folder, line):
    reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
    writer.write(line + b"\n")
    answer = msgspec.json.decode(await reader.read(), type=Answer)
    assert "does not understand" in answer.error
    writer.close()


async def test_question_without_end_ends_the_connection(folder, capsys):
    reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
    writer.write(b"x" * (4 * LINE_MOST))
    assert await reader.read() == b""
    writer.close()
    assert (await call(folder, capsys))[0] == 0


async def test_folder_that_takes_no_socket_is_named(site):
    with pytest.raises(EdgeError, match="cannot be made"):
        await AlarmSocket(site, Path("/proc/fengsui") / SOCKET).start()


# the site code


def test_code_is_generated_shown_once_and_kept_as_a_hash(tmp_path, capsys):
    path = tmp_path / "local-code"
    assert cli.main(["local-code", str(path), "--generate"]) == 0
    code = capsys.readouterr().out.strip()
    assert len(code) == 10
    assert read_code(path).fits(code)


def test_code_is_read_from_a_pipe(tmp_path, monkeypatch, capsys):
    pipe = tmp_path / "pipe"
    pipe.write_text("2468013579\n")
    with pipe.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert cli.main(["local-code", str(tmp_path / "local-code")]) == 0
    assert read_code(tmp_path / "local-code").fits("2468013579")
    assert "2468013579" not in "".join(capsys.readouterr())


def test_code_that_is_too_short_writes_nothing(tmp_path, monkeypatch, capsys):
    pipe = tmp_path / "pipe"
    pipe.write_text("1234\n")
    with pipe.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert cli.main(["local-code", str(tmp_path / "local-code")]) == 1
    assert not (tmp_path / "local-code").exists()
    assert "4 characters is not taken" in capsys.readouterr().err
