"""Writes the JSON Schema of every message and record: ``python -m wire.schema``; with ``--check``, compares only.

Octets show as base64 text in JSON, and msgpack arrays as arrays. The schemas are for people and other languages: our
own programs read by the models.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wire.codec import KINDS
from wire.command import Order
from wire.record import (
    ActionRecord,
    AlarmRecord,
    AuditRecord,
    FileRecord,
    FoldedRecord,
    Layout,
    QuakeRecord,
    ScanRecord,
    StandingRecord,
    WaveformRecord,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parent / "schemas"

RECORD_KINDS: Mapping[str, type[msgspec.Struct]] = {
    "record-scan": ScanRecord,
    "record-alarm": AlarmRecord,
    "record-action": ActionRecord,
    "record-audit": AuditRecord,
    "record-standing": StandingRecord,
    "record-folded": FoldedRecord,
    "record-waveform": WaveformRecord,
    "record-file": FileRecord,
    "record-quake": QuakeRecord,
    "layout": Layout,
    "order": Order,
}
"""What travels inside a batch or a command, by the name of its schema file."""


def schemas() -> dict[Path, str]:
    """Make every schema file: path and text."""
    models: dict[str, Any] = {kind.value: model for kind, model in KINDS.items()} | dict(RECORD_KINDS)
    return {FOLDER / f"{name}.json": format_schema(msgspec.json.schema(model)) for name, model in models.items()}


def format_schema(schema: Mapping[str, Any]) -> str:
    """Write a schema so that the same models always give the same text."""
    return json.dumps(_tidy({"$schema": DIALECT, **schema}), ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _tidy(part: Any) -> Any:
    """Unfold docstrings: their line breaks and indents belong to the source file."""
    if isinstance(part, dict):
        return {
            key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _tidy(value)
            for key, value in part.items()
        }
    return [_tidy(element) for element in part] if isinstance(part, list) else part


def keep(
    files: Mapping[Path, str], command: str, arguments: Sequence[str] | None = None, shared: Collection[Path] = ()
) -> int:
    """Write generated files, or with ``--check`` tell which are not up to date. Returns the exit status.

    What else lies in their folders is removed, but for those that are ``shared`` with other files.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description="Keep generated files up to date.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is not up to date")
    only_check = parser.parse_args(arguments).check
    folders = {path.parent for path in files if path.suffix == ".json"} - set(shared)
    orphans = sorted(path for folder in folders for path in folder.glob("*.json") if path not in files)
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    if only_check:
        for path in (*stale, *orphans):
            print(f"{path} is not up to date: run python -m {command} and commit it", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], "utf-8")
        print(f"wrote {path}")
    for path in orphans:
        path.unlink()
        print(f"removed {path}: nothing makes it any more")
    return 0


if __name__ == "__main__":
    sys.exit(keep(schemas(), "wire.schema"))
