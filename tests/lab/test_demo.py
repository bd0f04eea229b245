"""The district as a whole: the command a person types, and the figures it ends with."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

LAB = Path(sys.executable).with_name("fengsui-lab")


def start(folder, *options):
    return subprocess.Popen(
        [LAB, "demo", "--data", folder, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def identities(folder):
    """(how it got in, certificates, version of the fleet's that it runs) of each gateway, by its own files and SQL."""
    query = """
        SELECT g.name, g.reported_version, COUNT(c.serial) FROM gateway g
        LEFT JOIN certificate c ON c.gateway = g.name LEFT JOIN claim a ON a.gateway = g.name AND a.used_ns > 0
        GROUP BY g.name HAVING COUNT(a.id) = 1
    """
    with closing(sqlite3.connect(folder / "fleet/fleet.db")) as database:
        rows = database.execute(query).fetchall()
    assert len(rows) == 4
    for name, version, certificates in rows:
        has_token = any((folder / name).glob("*.token"))
        yield "token" if has_token else "claim", certificates, version


@pytest.mark.timeout(200)
def test_a_short_demo_loses_and_duplicates_nothing(tmp_path):
    demo = start(tmp_path / "demo", "--seconds", "12", "--setup-s", "3.5")
    try:
        out, err = demo.communicate(timeout=180)
    finally:
        demo.terminate()
        demo.wait()
    assert demo.returncode == 0, err
    figures = json.loads(out.splitlines()[-1])
    assert figures["gateways"] == 4
    assert figures["tags"] >= 169, "besides those of the seismic stations, which settle first"
    assert figures["samples_acquired"] == figures["samples_committed"] == figures["samples_relayed"]
    assert figures["samples_acquired"] > 12 * 800
    assert figures["records_lost"] == 0
    assert figures["records_duplicated"] == 0
    assert figures["alarms_raised"] == 7
    assert 0 < figures["alarm_to_output_ms_p99"] <= 1100
    assert figures["alarm_to_platform_ms_p99"] > 0
    assert figures["setup_s"] == 3.5
    assert all(identity == ("claim", 1, 1) for identity in identities(tmp_path / "demo")), "each got in by a claim"


@pytest.mark.timeout(60)
def test_a_demo_that_is_interrupted_while_it_starts_stops_cleanly(tmp_path):
    demo = start(tmp_path / "demo")
    try:
        for line in demo.stderr:
            if "fleet: broker" in line:
                break
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=45)
    finally:
        demo.terminate()
        demo.wait()
    assert demo.returncode == 0, err
    assert "stopped" in err
    assert "Traceback" not in err


def test_a_demo_on_a_folder_of_somebody_else_is_refused_with_a_hint(tmp_path):
    (tmp_path / "thesis.txt").touch()
    demo = start(tmp_path)
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "--data" in err
    assert "Traceback" not in err
