"""Writes a case folder: the octets of a line and what came of them, as the tests of drivers read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import Group, Scan
from edge.errors import EdgeError
from edge.settings import Bus

REPLAY_TIMEOUT_S = 0.05
"""In a case nothing is waited for: what does not come at once never comes."""

Show = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the settings of a line or a device, returns what of them is written down."""

NONE = "none"
"""Stands for no value: TOML has no null."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded case. ``error`` is the class of what the read ended in, where no scan is expected."""

    name: str
    bus: Bus
    line: str
    groups: Sequence[Group] = ()
    scans: Sequence[Scan] = ()
    error: str = ""
    detail: str = ""
    faults: int = 0
    replays: bool = True

    @property
    def line_count(self) -> int:
        """How many pieces were sent and came."""
        return sum(not line.startswith("#") for line in self.line.splitlines())


def replay_settings(bus: Bus) -> dict[str, Any]:
    """The line's settings as a replay needs them."""
    settings = keys_of(bus.settings)
    return settings | ({"timeout_s": REPLAY_TIMEOUT_S} if "timeout_s" in bus.settings.__struct_fields__ else {})


def write_case(case: Case, out: Path) -> Path:
    """Write the folder and return it; one that is there already is kept. Raises EdgeError."""
    folder = _free(out / folder_of(case))
    try:
        folder.mkdir(parents=True)
        for name, text in files_of(case).items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise EdgeError(
            f"{folder} cannot be written: {error.strerror}", hint="name another folder: --out DIR"
        ) from error
    return folder


def folder_of(case: Case) -> Path:
    """Where tests look for such a case."""
    return Path(case.bus.kind.kind, case.name.replace(".", "-"))


def files_of(case: Case, show: Show = dict) -> dict[str, str]:
    """The files of its folder."""
    header = f"# Recorded on bus {case.bus.name} by fengsui-edge capture. {' '.join(case.detail.split())}".rstrip()
    return {"line.txt": f"{header}\n{case.line}", "case.toml": format_case(case, show)}


def _free(folder: Path) -> Path:
    number = 2
    wanted = folder
    while folder.exists():
        folder = wanted.with_name(f"{wanted.name}-{number}")
        number += 1
    return folder


def format_case(case: Case, show: Show = dict) -> str:
    """Write ``case.toml``."""
    about = "Recorded, not checked: compare the values below with the instrument's display, and say here what it was"
    lines = [f"about = {toml(about)}", f"settings = {toml(show(replay_settings(case.bus)))}"]
    lines += [f"error = {toml(case.error)}"] if case.error else []
    lines += [f"faults = {case.faults}"] if case.faults else []
    lines += [] if case.groups else ["group = []"]
    for group in case.groups:
        lines += ["", "[[group]]", f"name = {toml(group.name)}"]
        device = show(keys_of(group.device))
        lines += [f"device = {toml(device)}"] if device else []
        tags = ({"name": tag, **keys_of(source)} for tag, source in zip(group.tags, group.sources, strict=True))
        lines += ["tag = [", *(f"    {toml(tag)}," for tag in tags), "]"]
    for scan in case.scans:
        values = [NONE if value is None else value for value in scan.values]
        lines += ["", "[[scan]]", f"group = {toml(scan.group)}", f"values = {toml(values)}"]
        lines += [f"quality = {toml([int(quality) for quality in scan.quality])}"] if any(scan.quality) else []
    return "\n".join(lines) + "\n"


def keys_of(model: msgspec.Struct) -> dict[str, Any]:
    """The keys of a model that differ from their defaults."""
    found = {}
    for field in msgspec.structs.fields(model):
        value = getattr(model, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if value is not None and value != default:
            found[field.encode_name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return keys_of(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def toml(value: Any) -> str:
    """Write a value in TOML, tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(each) for each in value) + "]"
    return repr(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml(key)
