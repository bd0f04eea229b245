"""The agent as a program, seen on site: its page with no broker and no fleet, its socket, and its start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.local.code import hash_code, write_code
from tests.edge.test_agent import CONFIG, Gateway
from tests.edge.test_run import run
from tests.servers import free_port

CODE = "2468013579"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[Gateway, int]]:
    """An agent with a page, an instrument that does not answer, and nobody to talk to."""
    gateway = Gateway(tmp_path, free_port(), free_port())
    port = free_port()
    write_code(tmp_path / "local-code", hash_code(CODE))
    local = f'[local]\nlisten = "127.0.0.1:{port}"\ncode_file = "local-code"\n'
    gateway.config.write_text(local + gateway.config.read_text())
    gateway.start()
    yield gateway, port
    gateway.stop()


def alarms(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge.cli", "alarms", *words, "--data", str(gateway.data), "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_page_and_command_line_work_with_no_broker_and_no_fleet(gateway) -> None:
    agent, port = gateway
    wait_until(lambda: (agent.data / "alarms.sock").exists())
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        wait_until(lambda: _is_up(client))
        assert client.get("/").status_code == 303
        assert client.post("/sign-in", data={"name": "张三", "code": CODE}).status_code == 303
        wait_until(lambda: "坏：" in client.get("/values").text)
        assert "tank" in client.get("/equipment").text
        assert "siren" in client.get("/equipment").text
        assert 'class="word bad">无' in client.get("/gateway").text
    wait_until(lambda: [alarm["name"] for alarm in list_alarms(agent)] == ["siren:output-fault"])
    refused = alarms(agent, "ack", "tank.level:unknown")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


def list_alarms(gateway: Gateway) -> list[dict[str, Any]]:
    answer = alarms(gateway, "list")
    assert answer.returncode == 0
    found: list[dict[str, Any]] = json.loads(answer.stdout)["alarms"]
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/sign-in").status_code == 200
    except httpx.TransportError:
        return False


def test_page_without_a_site_code_does_not_start(tmp_path) -> None:
    config = tmp_path / "gateway.toml"
    base = CONFIG.format(modbus=free_port(), mqtt=free_port(), health=free_port())
    config.write_text(f'[local]\nlisten = "127.0.0.1:{free_port()}"\ncode_file = "local-code"\n{base}')
    status, said = run(config, tmp_path / "data")
    assert status == 1
    assert "code_file" in said
    assert "fengsui-edge local-code" in said
    assert not (tmp_path / "data" / "alarms.sock").exists()


def test_agent_without_a_page_loads_none() -> None:
    code = "import sys; import edge.agent; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in answer.stdout.split() if name.startswith("edge.local.")}
    assert loaded <= {
        f"edge.local.{name}" for name in ("exchange", "opening", "order", "settings", "site", "socket", "workplace")
    }
