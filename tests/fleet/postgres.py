"""A PostgreSQL server of one's own, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def find_programs() -> Path | None:
    """Return the folder of the newest installed server, None if there is none."""
    return next((folder for folder in FOLDERS if (folder / "initdb").exists()), None)


@contextmanager
def postgresql(programs: Path) -> Iterator[str]:
    """Run a server and yield the URL of its database. It refuses to run as root, so root lends it another user."""
    root = os.geteuid() == 0
    owner = pwd.getpwnam("postgres" if root else pwd.getpwuid(os.geteuid()).pw_name)
    folder = Path(tempfile.mkdtemp(prefix="fengsui-pg-"))
    demotion = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if root else {}
    try:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        initdb = [str(programs / "initdb"), "-D", str(folder / "db"), "-U", "fleet", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C.UTF-8", "-N"], check=True, capture_output=True, cwd=folder, **demotion)  # type: ignore[call-overload]
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(folder / "db"), "-p", str(port), "-k", str(folder)]
        server = subprocess.Popen(  # type: ignore[call-overload]
            [*command, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],  # no test cuts its power
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **demotion,
        )  # fmt: skip
        try:
            _wait_until_ready(programs, port)
            yield f"postgresql://fleet@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for clients, as SIGTERM would
            server.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(programs: Path, port: int, timeout_s: float = 20.0) -> None:
    """Wait until the server takes sign-ins: it listens a while before that."""
    deadline = time.monotonic() + timeout_s
    command = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(command, check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError("PostgreSQL did not start")
        time.sleep(0.05)
