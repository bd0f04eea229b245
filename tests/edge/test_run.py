"""`fengsui-edge run` as a program that cannot start: a sentence and a hint, the right exit status, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge.test_agent import CONFIG
from tests.servers import free_port


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(modbus=free_port(), mqtt=free_port(), health=free_port()))
    return path


def run(config: Path, data: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config), "--data", str(data)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""
    return answer.returncode, answer.stderr


@pytest.mark.parametrize("content", [b"{half a docu", b"\xff\xfe", b"[]"], ids=["torn", "no UTF-8", "another shape"])
def test_damaged_twin_is_named_with_what_to_do(content, config, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "twin.json").write_bytes(content)
    status, said = run(config, tmp_path / "data")
    assert status == 1
    assert "twin.json" in said
    assert "move the file away" in said


def test_token_file_that_is_no_text_is_named(config, tmp_path) -> None:
    (tmp_path / "gw.token").write_bytes(b"\xff\xfe\x00")
    config.write_text(config.read_text().replace("health_s = 0.5", 'health_s = 0.5\ntoken_file = "gw.token"'))
    status, said = run(config, tmp_path / "data")
    assert status == 1
    assert "gw.token cannot be read: it is no text" in said


@pytest.mark.parametrize("what", ["missing", "a folder"])
def test_configuration_file_that_cannot_be_read_is_named(what, tmp_path) -> None:
    path = tmp_path / "gateway.toml"
    if what == "a folder":
        path.mkdir()
    status, said = run(path, tmp_path / "data")
    assert status == 1
    assert "gateway.toml cannot be read" in said
    assert not (tmp_path / "data").exists()


def test_data_folder_that_cannot_be_made_is_named(config) -> None:
    status, said = run(config, Path("/proc/fengsui"))
    assert status == 1
    assert "/proc/fengsui cannot be used" in said


def test_health_address_that_is_not_this_machines_is_named(config, tmp_path) -> None:
    config.write_text(config.read_text().replace('listen = "127.0.0.1:', 'listen = "192.0.2.1:'))
    status, said = run(config, tmp_path / "data")
    assert status == 1
    assert "[health] listen 192.0.2.1:" in said
