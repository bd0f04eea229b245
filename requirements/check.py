"""Check without a network that every dependency declared is pinned, hashed, within its bounds, and names no index."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
EXTRAS = ("edge", "fleet", "provision", "lab", "dev")
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def declared(extra: str) -> list[Requirement]:
    """List what pyproject.toml asks for, extras of our own unfolded."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    for line in project["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            found += [inner for own in requirement.extras for inner in declared(own)]
        else:
            found.append(requirement)
    return found


def problems(extra: str) -> list[str]:
    """Say what is wrong with one requirement file."""
    text = (ROOT / "requirements" / f"{extra}.txt").read_text("utf-8")
    pins = {canonicalize_name(name): version for name, version in PIN.findall(text)}
    found = [f"{extra}.txt names an index" for word in ("--index", "--extra-index", "--find-links") if word in text]
    found += [f"{extra}.txt: {block.split()[0]} has no hash" for block in _blocks(text) if "--hash=" not in block]
    for requirement in declared(extra):
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version):
            found.append(f"{extra}.txt pins {requirement.name} at {version}, not {requirement.specifier}")
    return found


def _blocks(text: str) -> list[str]:
    return [block for block in re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", text, flags=re.M) if block.strip()]


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    found = [problem for extra in EXTRAS for problem in problems(extra)]
    for problem in found:
        print(problem, "- run: make requirements", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
