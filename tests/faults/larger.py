"""A larger fleet's servers, PostgreSQL and Mosquitto: killed, stopped, wiped, with a queue that overflows."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from lab.processes import Child, free_port, run_once
from tests.faults.scene import ACT_S, Fault, Scene

POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
UP_S = 20.0
QUEUED_MOST = 3
"""Messages under way to one client, and as many more that the broker holds; it drops the rest without a word."""


def is_possible() -> bool:
    """Tell whether both servers are installed and may be run."""
    return bool(POSTGRESQL) and MOSQUITTO is not None and os.geteuid() == 0


class Servers:
    """Both, in a folder that others may enter. PostgreSQL refuses root, so root lends it another user."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fengsui-servers-"))
        self._folder.chmod(0o755)
        self.postgresql = Child("PostgreSQL", self._folder / "postgresql.log")
        self.broker = Child("Mosquitto", self._folder / "mosquitto.log")
        self._database_port, self.broker_port = free_port(), free_port()

    @property
    def database_url(self) -> str:
        """Where the database is."""
        return f"postgresql://fleet@127.0.0.1:{self._database_port}/postgres"

    async def open(self) -> None:
        """Make and start both. Raises LabError."""
        data = self._folder / "db"
        owner = pwd.getpwnam("postgres")
        data.mkdir()
        os.chown(data, owner.pw_uid, owner.pw_gid)
        options = ["-U", "fleet", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        await run_once([*_as_postgres(), str(POSTGRESQL[0] / "initdb"), "-D", str(data), *options])
        (self._folder / "mosquitto.conf").write_text(
            f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n"
            f"max_queued_messages {QUEUED_MOST}\nmax_inflight_messages {QUEUED_MOST}\n"
        )
        await self.start_database()
        await self.start_broker()

    async def start_database(self) -> None:
        """Start PostgreSQL and wait until it answers."""
        command = [str(POSTGRESQL[0] / "postgres"), "-D", str(self._folder / "db"), "-p", str(self._database_port)]
        await self.postgresql.start([*_as_postgres(), *command, "-k", "", "-c", "listen_addresses=127.0.0.1"])
        await _wait_for(self._database_port)

    async def start_broker(self) -> None:
        """Start Mosquitto and wait until it answers. It remembers nothing."""
        assert MOSQUITTO is not None
        await self.broker.start([MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")])
        await _wait_for(self.broker_port)

    async def close(self) -> None:
        """Stop both."""
        await self.broker.stop()
        if self.postgresql.is_running:
            os.kill(self.postgresql.pid, signal.SIGINT)  # does not wait for clients, as SIGTERM would
            await self.postgresql.ended()
        shutil.rmtree(self._folder, ignore_errors=True)


def kinds(scene: Scene, servers: Servers) -> Mapping[str, Fault]:
    """The faults by name."""
    return {
        "postgresql-killed": partial(_database_killed, scene, servers),
        "postgresql-hangs": partial(_database_hangs, scene, servers),
        "broker-wiped": partial(_broker_wiped, scene, servers),
        "broker-overflows": partial(_broker_overflows, scene),
    }


NAMES = ("postgresql-killed", "postgresql-hangs", "broker-wiped", "broker-overflows")


async def _database_killed(scene: Scene, servers: Servers) -> None:
    """The postmaster and all its processes, as when its machine fails."""
    await scene.pause(0, 2)
    for pid in _processes(servers.postgresql.pid):
        os.kill(pid, signal.SIGKILL)
    await servers.postgresql.ended()
    await scene.pause(1, 5)
    await servers.start_database()


async def _database_hangs(scene: Scene, servers: Servers) -> None:
    """It is there, and answers nothing."""
    pids = _processes(servers.postgresql.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    await scene.pause(4, 12)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


async def _broker_wiped(scene: Scene, servers: Servers) -> None:
    """The broker is killed and comes back without any memory."""
    await scene.pause(0, 2)
    await servers.broker.kill()
    await scene.pause(0, 4)
    await servers.start_broker()


async def _broker_overflows(scene: Scene) -> None:
    """Ingest stands still for a while: the broker confirms what gateways send, holds some of it, and drops the rest."""
    await scene.freeze(scene.pid("ingest"), 6, 15)
    await asyncio.sleep(ACT_S)


def _processes(pid: int) -> list[int]:
    """List a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _as_postgres() -> Sequence[str]:
    return "setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"


async def _wait_for(port: int) -> None:
    async with asyncio.timeout(UP_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
