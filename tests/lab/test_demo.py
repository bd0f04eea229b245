"""The district as a whole: the command a person types, and the figures it ends with."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(sys.executable).with_name("fengsui-lab")


def start(folder, *options):
    return subprocess.Popen(
        [LAB, "demo", "--data", folder, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.timeout(100)
def test_a_short_demo_loses_and_duplicates_nothing(tmp_path):
    demo = start(tmp_path / "demo", "--seconds", "12", "--setup-s", "3.5")
    try:
        out, err = demo.communicate(timeout=90)
    finally:
        demo.terminate()
        demo.wait()
    assert demo.returncode == 0, err
    figures = json.loads(out.splitlines()[-1])
    assert figures["gateways"] == 4
    assert figures["tags"] == 165
    assert figures["samples_acquired"] == figures["samples_committed"] == figures["samples_relayed"]
    assert figures["samples_acquired"] > 12 * 800
    assert figures["records_lost"] == 0
    assert figures["records_duplicated"] == 0
    assert figures["alarms_raised"] == 7
    assert 0 < figures["alarm_to_output_ms_p99"] <= 1100
    assert figures["alarm_to_platform_ms_p99"] > 0
    assert figures["setup_s"] == 3.5


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
