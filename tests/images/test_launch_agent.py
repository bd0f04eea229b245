"""The agent itself under the launcher: it says that it lives, and is started again when it stands still."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from images.launcher.launch import PROGRAM
from tests.images.slots import Yard, until

CONFIGURATION = """
[gateway]
id = "gw-example-0001"
[uplink]
url = "mqtt://127.0.0.1:1"
[[bus]]
name = "line1"
kind = "modbus"
url = "tcp://127.0.0.1:1"
[[device]]
name = "hut"
bus = "line1"
profile = "generic_sht20"
unit = 1
"""


def test_the_agent_is_ready_lives_and_is_started_again_when_it_stands_still(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "release")
    yard.fill("a", "1.0", "")
    words = f"-m edge.cli run --config {tmp_path}/gateway.toml --data {tmp_path}/data"
    program = f'#!/bin/sh\necho $$ > {tmp_path}/agent\nexec "{sys.executable}" {words}\n'
    (yard.folder / "a" / PROGRAM).write_text(program)
    (tmp_path / "gateway.toml").write_text(CONFIGURATION)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "systemd"))
        systemd.settimeout(30)
        with yard.launched("--watchdog-s", "8", NOTIFY_SOCKET=str(tmp_path / "systemd")):
            while systemd.recv(4096) != b"READY=1":
                pass
            os.kill(int((tmp_path / "agent").read_text()), signal.SIGSTOP)
            until(lambda: yard.log().count("starts 1.0") == 2, "another start")
            while systemd.recv(4096) != b"READY=1":
                pass
    assert "gave no sign of life for 8 s" in yard.log()
