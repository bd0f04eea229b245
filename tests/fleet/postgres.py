"""A PostgreSQL server of one's own, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port, wait_for_port

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
            [*command, "-c", "listen_addresses=127.0.0.1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **demotion,
        )  # fmt: skip
        try:
            wait_for_port(port, timeout_s=20)
            yield f"postgresql://fleet@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for clients, as SIGTERM would
            server.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
