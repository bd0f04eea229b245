"""The kept log: bounded, there after a restart, and without secrets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge.diagnosis.kept_log import FILE, FILE_OCTETS, kept_log, read_log
from edge.diagnosis.secrets import HIDDEN, hide_in_document, hide_in_text

log = logging.getLogger("tests.diagnosis")
ALL = 10**9


def test_what_was_said_before_a_restart_is_there_after_it(tmp_path: Path) -> None:
    with kept_log(tmp_path):
        log.warning("before the crash")
    with kept_log(tmp_path):
        log.warning("after it")
    lines = read_log(tmp_path, ALL).decode().splitlines()
    assert [line.rpartition(": ")[2] for line in lines if "tests.diagnosis" in line] == ["before the crash", "after it"]


def test_the_log_is_bounded_and_the_newest_lines_are_those_kept(tmp_path: Path) -> None:
    with kept_log(tmp_path):
        for number in range(900):
            log.warning("%d %s", number, "x" * 1000)
    assert sum(path.stat().st_size for path in tmp_path.glob(f"{FILE}*")) <= 2 * FILE_OCTETS
    assert b" 899 " in read_log(tmp_path, ALL)


def test_only_whole_lines_are_read_and_the_newest(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.1").write_bytes(b"one\n")
    (tmp_path / FILE).write_bytes(b"two\nthree\n")
    assert read_log(tmp_path, ALL) == b"one\ntwo\nthree\n"
    assert read_log(tmp_path, 8) == b"three\n"


def test_no_log_is_no_line(tmp_path: Path) -> None:
    assert read_log(tmp_path, ALL) == b""


def test_a_folder_that_takes_no_file_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / FILE).mkdir()
    with kept_log(tmp_path):
        log.warning("into nothing")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "said",
    [
        "signs in with token=QUARTZ",
        "password: QUARTZ",
        "the site code is QUARTZ",
        "refused: claim_code='QUARTZ'",
        'answered {"gateway_token": "QUARTZ"}',
        "mqtt://gw:QUARTZ@broker.example:1883 is away",
        "Authorization: Bearer QUARTZQUARTZ",
    ],
)
def test_secrets_that_are_named_never_get_into_the_file(tmp_path: Path, said: str) -> None:
    with kept_log(tmp_path):
        log.error("%s", said)
        log.error("with what was raised", exc_info=ValueError(said))
    kept = read_log(tmp_path, ALL)
    assert HIDDEN.encode() in kept
    assert b"QUARTZ" not in kept


def test_ordinary_lines_stay_as_they_are() -> None:
    said = "bus rs485-1: no answer within 0.5 s. It is tried again. mqtt://broker.example:1883, function_code: 3"
    assert hide_in_text(said) == said


def test_a_document_loses_the_values_of_its_secrets_but_keeps_where_files_are() -> None:
    document = {
        "bus": [{"url": "tcp://u:QUARTZ@h", "password": "QUARTZ", "tokens": ["QUARTZ"], "function_code": 3}],
        "token_file": "gateway.token",
        "pin": 0,
    }
    assert hide_in_document(document) == {
        "bus": [{"url": f"tcp://{HIDDEN}@h", "password": HIDDEN, "tokens": HIDDEN, "function_code": 3}],
        "token_file": "gateway.token",
        "pin": 0,
    }
