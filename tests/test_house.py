"""The house itself: names, arrows, extras, documents. What these hold, nobody has to remember."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from drivers.base import kinds

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OURS = {"wire", "seismic", "drivers", "edge", "images", "provisioning", "fleet", "lab"}


def tracked(*patterns: str) -> list[Path]:
    answer = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in answer.stdout.splitlines() if (ROOT / line).exists()]


def test_no_other_distribution_owns_one_of_our_names() -> None:
    owners = metadata.packages_distributions()
    for name in OURS:
        assert set(owners.get(name, ["fengsui"])) == {"fengsui"}


def test_every_package_is_listed() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for path in tracked("*/__init__.py")
        if path.parent.relative_to(ROOT).parts[0] in OURS
    }
    assert found == listed


def pinned(extra: str) -> set[str]:
    text = (ROOT / "requirements" / f"{extra}.txt").read_text("utf-8")
    return set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))


def test_a_gateway_installs_no_flask_and_the_fleet_no_pymodbus() -> None:
    assert not pinned("edge") & {"flask", "sqlalchemy", "alembic", "granian"}
    assert not pinned("fleet") & {"pymodbus", "pyserial", "tinydb"}
    assert "pymodbus" in pinned("edge")
    assert "flask" in pinned("fleet")


@pytest.mark.parametrize("extra", ["edge", "fleet", "provision", "lab", "dev"])
def test_requirement_files_carry_hashes_and_name_no_index(extra: str) -> None:
    text = (ROOT / "requirements" / f"{extra}.txt").read_text("utf-8")
    assert "--hash=sha256:" in text
    assert not re.search(r"--(extra-)?index|--find-links|https?://", text)


def test_every_driver_stands_in_the_contract_that_keeps_drivers_apart() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    apart = next(contract for contract in contracts if contract["type"] == "independence")
    assert set(apart["modules"]) == {f"drivers.{kind}" for kind in kinds()}


def test_every_target_of_the_makefile_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^{target}:.*## \w", text, re.MULTILINE), target


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in tracked("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if not re.match(r"[a-z]+:", link):
                assert (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}"


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs/adr/README.md").read_text("utf-8")
    for page in (ROOT / "docs/adr").glob("0*.md"):
        assert page.name in index
        assert len(page.read_text("utf-8").splitlines()) <= 60, f"{page.name} is longer than a page"


def test_readme_names_only_targets_and_commands_that_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"\bmake ([a-z]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    scripts = set(PROJECT["project"]["scripts"])
    assert set(re.findall(r"\bfengsui-[a-z]+\b", text)) <= scripts


def test_settings_modules_name_units() -> None:
    """A number without a unit in its name is a question at three in the morning."""
    from edge.settings import SpoolSettings, UplinkSettings

    allowed = re.compile(r".*_(s|h|ms|ns|bytes|bytes_per_day)$")
    for model in (SpoolSettings, UplinkSettings):
        for name, kind in model.__annotations__.items():
            if "int" in str(kind) or "float" in str(kind) or "Seconds" in str(kind) or "Period" in str(kind):
                assert allowed.match(name), f"{model.__name__}.{name}"
