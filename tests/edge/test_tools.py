"""The technician's tools against instruments that others wrote; what they print, and with which status they end."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from edge import cli
from tests.drivers import cases
from tests.drivers.conformance import acquires_what_the_capture_holds
from tests.edge.instruments import GAS, PLC, WEATHER, rtu_line, talker, tcp_instrument
from tests.servers import free_port

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning"),
]

CONFIG = """
[gateway]
id = "gw-test-0001"
[uplink]
url = "mqtt://127.0.0.1:1"
[[bus]]
name = "rs485-1"
kind = "modbus"
url = "rtu://{port}"
timeout_s = 0.3
[[device]]
name = "gd-01"
bus = "rs485-1"
profile = "pemtech_pt495"
unit = 3
[[device]]
name = "plc"
bus = "rs485-1"
unit = 5
[[device.group]]
name = "slow"
poll_s = 0.2
[[device.group.tag]]
name = "setpoint"
title = "设定值"
unit = "m"
low = 0
high = 100
address = 0
scale = 0.01
[[device.group.tag]]
name = "siren"
function = 1
address = 2
[[output]]
name = "siren"
tag = "plc.siren"
"""

GONE = """
[[device]]
name = "gone"
bus = "rs485-1"
unit = 9
[[device.group]]
name = "all"
poll_s = 1.0
[[device.group.tag]]
name = "x"
address = 0
"""

NMEA = b"$WIMWV,214.8,R,5.1,M,A*2B\r\n"


@pytest.fixture
def line() -> Iterator[tuple[str, list[int]]]:
    with rtu_line({3: GAS, 5: PLC, 7: WEATHER}) as found:
        yield found


@pytest.fixture
def config(line, tmp_path: Path) -> str:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(port=line[0]))
    return str(path)


def call(capsys, *words: str) -> tuple[int, str, str]:
    try:
        status = cli.main(list(words))
    except SystemExit as end:  # argparse ends wrong words itself
        status = int(str(end.code))
    said = capsys.readouterr()
    return status, said.out, said.err


def call_json(capsys, *words: str) -> tuple[int, Any]:
    status, out, _ = call(capsys, *words, "--json")
    return status, json.loads(out)


# --- scan


def test_scan_finds_units_and_what_they_look_like_and_asks_nothing_that_writes(line, capsys):
    port, asked = line
    status, found = call_json(capsys, "scan", f"rtu://{port}", "--units", "1-7", "--listen", "0.1", "--timeout", "0.15")
    assert status == 0
    assert [each["device"] for each in found["found"]] == [{"unit": 3}, {"unit": 5}, {"unit": 7}]
    assert {each["line"] for each in found["found"]} == {"9600 8N1"}
    gas, _, weather = (each["matches"] for each in found["found"])
    assert "pemtech_pt495" in {match["profile"] for match in gas}
    assert weather[0]["profile"] == "generic_weather_rs485"
    assert {"tag": "generic_weather_rs485.temperature", "value": 23.5}.items() <= weather[0]["values"][3].items()
    assert asked
    assert set(asked) <= {1, 2, 3, 4, 43}


def test_scan_says_in_words_what_a_unit_looks_like_and_how_to_read_it(line, capsys):
    url = f"rtu://{line[0]}"
    status, out, err = call(capsys, "scan", url, "--units", "7", "--listen", "0.1", "--timeout", "0.15")
    assert status == 0
    assert "9600 8N1  unit 7" in out
    assert "looks like generic RS-485 weather station (" in out
    assert "generic_weather_rs485: wind-speed 3.12 m/s" in out
    assert "temperature 23.5 °C" in out
    assert f"fengsui-edge read {url} --unit 7 --profile generic_weather_rs485" in err


def test_scan_of_a_configured_bus_names_the_devices(config, capsys):
    status, found = call_json(
        capsys, "scan", "rs485-1", "--config", config, "--units", "5", "--listen", "0", "--no-profiles"
    )
    assert status == 0
    assert found["found"][0]["configured_as"] == "plc"
    assert found["found"][0]["matches"] == []


def test_scan_of_a_silent_line_says_what_to_check(line, capsys):
    words = ("--units", "9", "--listen", "0", "--timeout", "0.05", "--baud", "9600,4800", "--parity", "N,E")
    status, found = call_json(capsys, "scan", f"rtu://{line[0]}", *words)
    assert (status, found["found"], found["asked"]) == (1, [], 4)
    status, _, err = call(capsys, "scan", f"rtu://{line[0]}", *words)
    assert status == 1
    assert "Nobody answers" in err
    assert "wires A and B" in err


def test_scan_asks_nothing_where_another_master_speaks(capsys):
    with talker(bytes.fromhex("010300000002c40b")) as port:
        status, out, err = call(capsys, "scan", f"rtu://{port}", "--listen", "0.3")
        assert status == 1
        assert "somebody speaks" in err
        assert "--anyway" in err
        assert not out


def test_scan_of_a_plain_port_hears_who_speaks_by_itself(capsys):
    with talker(NMEA) as port:
        status, found = call_json(capsys, "scan", f"serial://{port}", "--listen", "0.3", "--kind", "nmea")
    assert status == 0
    match = found["found"][0]["matches"][0]
    assert match["profile"] == "airmar_weatherstation"
    assert {each["tag"]: each["value"] for each in match["values"]}["airmar_weatherstation.wind-speed"] == 5.1


def test_scan_over_tcp_tells_what_an_instrument_says_of_itself(capsys):
    port = free_port()
    with tcp_instrument(port, 4, [32, 0x0200], VendorName="Pemtech", ModelName="PT495"):
        status, found = call_json(capsys, "scan", f"tcp://127.0.0.1:{port}", "--units", "4", "--timeout", "0.5")
    assert status == 0
    assert found["found"][0]["identity"] == {"vendor": "Pemtech", "model": "PT495"}
    assert found["found"][0]["matches"][0]["profile"] == "pemtech_pt495"


def test_instrument_that_answers_whatever_the_unit_is_found_once(capsys):
    port = free_port()
    with tcp_instrument(port, 0, [32, 0x0200], VendorName="Pemtech"):
        status, found = call_json(capsys, "scan", f"tcp://127.0.0.1:{port}", "--timeout", "0.5", "--no-profiles")
    assert status == 0
    assert [each["device"] for each in found["found"]] == [{"unit": 1}]


def test_port_in_use_names_the_program_and_what_to_do(line, capsys):
    code = "import serial, sys, time; p = serial.Serial(sys.argv[1], exclusive=True); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, line[0], "edge.cli run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"\n"
            status, _, err = call(capsys, "read", f"rtu://{line[0]}", "--unit", "3", "--address", "0")
        finally:
            holder.terminate()
    assert status == 1
    assert f"in use by the agent (process {holder.pid})" in err
    assert "systemctl stop fengsui-edge" in err


def test_ctrl_c_ends_a_scan_and_shows_what_was_found(line):
    command = [sys.executable, "-m", "edge.cli", "scan", f"rtu://{line[0]}", "--units", "3,100-199", "--listen", "0"]
    command += ["--timeout", "0.2", "--no-profiles", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while len(line[1]) < 6:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    found = json.loads(out)
    assert [each["device"] for each in found["found"]] == [{"unit": 3}]
    assert not found["complete"]
    assert b"Traceback" not in err
    with serial.Serial(line[0], exclusive=True, timeout=0) as port:
        assert port.read(100) == b""


# --- read


def test_read_shows_values_quality_and_registers(config, capsys):
    status, out, _ = call(capsys, "read", "gd-01", "--config", config)
    assert status == 0
    assert out.splitlines()[1].split()[:5] == ["gd-01.gas", "32", "%LEL", "good", "0020"]


def test_read_of_one_tag_gives_one_document(config, capsys):
    status, found = call_json(capsys, "read", "plc.setpoint", "--config", config)
    assert status == 0
    assert [(each["tag"], each["value"], each["registers"]) for each in found["read"]] == [
        ("plc.setpoint", 7.34, "02DE")
    ]


def test_read_at_an_address_needs_no_configuration(line, capsys):
    words = (f"rtu://{line[0]}", "--unit", "5", "--function", "3", "--address", "4", "--type", "f32", "--order", "CDAB")
    status, found = call_json(capsys, "read", *words)
    assert status == 0
    assert found["read"][0]["value"] == 12.5
    assert found["read"][0]["registers"] == "0000 4148"
    status, found = call_json(capsys, "read", f"rtu://{line[0]}", "--unit", "5", "--address", "0", "--count", "3")
    assert [each["value"] for each in found["read"]] == [734, 65411, 0]


def test_read_of_a_silent_unit_is_a_fault_with_a_hint(line, capsys):
    words = ("read", f"rtu://{line[0]}", "--unit", "9", "--address", "0", "--timeout", "0.1")
    status, found = call_json(capsys, *words)
    assert status == 1
    assert found["read"][0] | {"quality": "bad", "reason": "no answer", "value": None} == found["read"][0]
    assert "unit 9 did not answer" in found["faults"][0]["error"]
    assert found["faults"][0]["hint"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("read", "gd-01"), "--config"),
        (("read", "rtu:///dev/ttyUSB0"), "--address 0"),
        (("read", "rtu:///dev/ttyUSB0", "--set", "adress=4"), "did you mean 'address'"),
        (("read", "rtu:///dev/ttyUSB0", "--unit", "700", "--address", "0"), "'unit' is wrong"),
        (("read", "gopher://x", "--kind", "modbus", "--address", "0"), "is no address of a line"),
        (("read", "rtu:///dev/ttyUSB0", "--profile", "no_such"), "no profile 'no_such'"),
        (("scan", "rtu:///dev/ttyUSB0", "--units", "7-3"), "write 3, 1-32"),
        (("profile", "show", "no_such"), "no profile 'no_such'"),
    ],
)
def test_wrong_use_says_what_to_write(words, said, capsys):
    status, _, err = call(capsys, *words)
    assert status == 2
    assert said in err


def test_error_is_one_json_document_too(capsys):
    status, found = call_json(capsys, "read", "rtu:///dev/no-such-port", "--unit", "1", "--address", "0")
    assert status == 1
    assert "/dev/no-such-port" in found["error"]
    assert found["hint"]


# --- write


def test_write_shows_what_was_writes_and_says_what_holds(config, capsys):
    status, found = call_json(capsys, "write", "plc.setpoint", "12.5", "--yes", "--config", config)
    assert status == 0
    assert found == {"tag": "plc.setpoint", "before": 7.34, "written": 12.5, "after": 12.5, "holds": True}
    status, out, err = call(capsys, "write", "plc.siren", "on", "--yes", "--config", config)
    assert status == 0
    assert "now    false" in err
    assert "a running agent may set it again" in err
    assert "holds  true" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plc.setpoint", "12.5"), "no terminal"),
        (("plc.setpoint", "1250", "--yes"), "outside the range"),
        (("plc", "1", "--yes"), "is no tag"),
        (("plc.setpont", "1", "--yes"), "did you mean 'plc.setpoint'"),
    ],
)
def test_write_that_must_not_be_writes_nothing(words, said, config, line, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, _, err = call(capsys, "write", *words, "--config", config)
    assert status == 2
    assert said in err
    assert not set(line[1]) & {5, 6, 15, 16, 22, 23}


@pytest.mark.parametrize(("answer", "value"), [(b"n\n", 7.34), (b"\n", 7.34), (b"y\n", 12.5)])
def test_write_asks_at_a_terminal(answer, value, config, capsys):
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "edge.cli", "write", "plc.setpoint", "12.5", "--config", config]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(master, 1024)
        os.write(master, answer)
        assert process.wait(20) == (0 if answer == b"y\n" else 1)
    os.close(slave)
    os.close(master)
    assert b"now    7.34 m" in shown
    assert b"write  12.5 m" in shown
    assert call_json(capsys, "read", "plc.setpoint", "--config", config)[1]["read"][0]["value"] == value


# --- watch


def test_watch_prints_a_line_for_each_scan(config, capsys):
    status, out, _ = call(capsys, "watch", "gd-01", "--config", config, "--for", "1.2", "--json")
    scans = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert {scan["group"] for scan in scans} == {"gd-01.fast"}
    assert scans[0]["values"]["gd-01.gas"] == {"value": 32, "unit": "%LEL", "quality": "good", "reason": ""}
    assert [scan["time"] for scan in scans] == sorted(scan["time"] for scan in scans)


def test_watch_ends_with_a_table_of_what_was_read(config, capsys):
    status, out, _ = call(capsys, "watch", "plc", "--config", config, "--for", "0.8")
    assert status == 0
    assert "plc.setpoint  7.34 m  good" in out
    assert "100 %" in out


def test_watch_shows_what_is_wrong_below_the_table(config, capsys):
    Path(config).write_text(Path(config).read_text() + GONE)
    status, out, _ = call(capsys, "watch", "gone", "--config", config, "--for", "1.5")
    assert status == 1
    assert "bad: no answer" in out
    assert "device gone on bus rs485-1" in out


def test_ctrl_c_ends_a_watch_and_leaves_the_port_to_the_next(config, line):
    command = [sys.executable, "-m", "edge.cli", "watch", "--config", config, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == b""
    with serial.Serial(line[0], exclusive=True, timeout=0) as port:
        assert port.read(100) == b""


# --- capture


def test_capture_can_be_replayed_by_the_tests_of_drivers(config, capsys, tmp_path):
    status, found = call_json(capsys, "capture", "rs485-1", "--config", config, "--for", "1", "--out", str(tmp_path))
    assert status == 0
    assert [(each["kind"], each["replays"], each["error"]) for each in found["cases"]] == [("modbus", True, "")]
    case = cases.load(Path(found["cases"][0]["folder"]))
    assert {scan.group for scan in case.scan} == {"gd-01.fast", "plc.slow"}
    asyncio.run(acquires_what_the_capture_holds(case))


def test_capture_puts_a_fault_into_a_case_of_its_own(config, capsys, tmp_path):
    Path(config).write_text(Path(config).read_text() + GONE)
    status, found = call_json(capsys, "capture", "rs485-1", "--config", config, "--for", "0.5", "--out", str(tmp_path))
    assert status == 1
    assert [each["error"] for each in found["cases"]] == ["", "LinkTimeoutError"]
    assert all(each["replays"] for each in found["cases"])
    assert cases.load(Path(found["cases"][1]["folder"])).error == "LinkTimeoutError"


def test_capture_of_one_who_speaks_by_itself(capsys, tmp_path):
    with talker(NMEA) as port:
        words = ("--kind", "nmea", "--set", "sentence=MWV", "--set", "field=speed", "--for", "0.5")
        status, found = call_json(capsys, "capture", f"serial://{port}", *words, "--out", str(tmp_path))
        assert status == 0
        assert found["cases"][0]["scans"] > 3
        assert found["cases"][0]["replays"]
        status, found = call_json(
            capsys, "capture", f"serial://{port}", "--kind", "nmea", "--listen", "--for", "0.3", "--out", str(tmp_path)
        )
    assert status == 0
    assert NMEA.hex(" ") in (Path(found["cases"][0]["folder"]) / "line.txt").read_text()


def test_capture_keeps_a_case_that_is_there(config, capsys, tmp_path):
    words = ("capture", "plc", "--config", config, "--for", "0.3", "--out", str(tmp_path))
    folders = {call_json(capsys, *words)[1]["cases"][0]["folder"] for _ in range(2)}
    assert folders == {f"{tmp_path}/modbus/rs485-1", f"{tmp_path}/modbus/rs485-1-2"}


# --- profile


def test_profile_list_show_and_test(capsys, tmp_path):
    status, listed = call_json(capsys, "profile", "list", "gas")
    assert status == 0
    assert "pemtech_pt495" in {each["name"] for each in listed}
    status, out, _ = call(capsys, "profile", "show", "pemtech_pt495")
    assert status == 0
    assert "fast.gas" in out
    assert "0 to 100" in out
    mine = tmp_path / "mine.toml"
    mine.write_text('vendor = "Example"\nmodel = "G1"\n')
    status, _, _ = call(capsys, "profile", "test", str(mine))
    assert status == 1
    assert call(capsys, "profile", "list", "no such word")[0] == 1


# --- what the agent loads


def test_agent_loads_no_tool_and_nothing_that_draws():
    code = "import sys; import edge.cli, edge.agent; edge.cli._parser(); print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "edge.agent" in loaded
    assert not {name for name in loaded if name.startswith(("rich", "edge.tools."))} - {
        "edge.tools.document",
        "edge.tools.terminal",
    }


@pytest.mark.parametrize("name", cli.TOOLS)
def test_every_tool_explains_itself_with_examples(name, capsys):
    status, out, _ = call(capsys, name, "--help")
    assert status == 0
    assert "examples:" in out
    assert f"fengsui-edge {name}" in out


def test_progress_is_silent_where_nobody_looks(line, capsys):
    _, _, err = call(capsys, "read", f"rtu://{line[0]}", "--unit", "3", "--address", "0")
    assert err == ""
