from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from wire import schema
from wire.codec import KINDS


def test_committed_schemas_are_up_to_date(capsys) -> None:
    assert schema.keep(schema.schemas(), "wire.schema", ["--check"]) == 0, capsys.readouterr().err


def test_check_runs_as_a_program() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "wire.schema", "--check"], capture_output=True, text=True, timeout=30
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_every_message_and_record_has_a_schema() -> None:
    names = {path.stem for path in schema.schemas()}
    assert names == {kind.value for kind in KINDS} | set(schema.RECORD_KINDS)


def test_schema_is_the_same_at_every_run_and_ends_with_a_line_end() -> None:
    assert schema.schemas() == schema.schemas()
    for text in schema.schemas().values():
        assert text.endswith("}\n")
        assert json.loads(text)["$schema"] == schema.DIALECT


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, str]:
    return {tmp_path / "one.json": "{}\n", tmp_path / "deeper" / "two.json": "[]\n"}


def test_stale_missing_and_orphaned_files_are_named_and_mended(files, tmp_path, capsys) -> None:
    assert schema.keep(files, "wire.schema", []) == 0
    assert schema.keep(files, "wire.schema", ["--check"]) == 0
    capsys.readouterr()
    (tmp_path / "one.json").write_text("{ }\n")
    (tmp_path / "deeper" / "two.json").unlink()
    (tmp_path / "left-over.json").write_text("{}\n")
    assert schema.keep(files, "wire.schema", ["--check"]) == 1
    said = capsys.readouterr().err
    for name in ("one.json", "two.json", "left-over.json"):
        assert f"{name} is not up to date: run python -m wire.schema and commit it" in said
    assert schema.keep(files, "wire.schema", []) == 0
    assert schema.keep(files, "wire.schema", ["--check"]) == 0
    assert not (tmp_path / "left-over.json").exists()
