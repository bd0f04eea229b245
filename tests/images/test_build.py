"""The bundle is packed the same whoever packs it, and what describes it is true. That PyInstaller's part is the same
too, `make bench ONLY=bundle` measures."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from edge.release import find_release
from images.bundle import build
from images.launcher.launch import tree_digest

WHEN_S = 1_800_000_000
COMMIT = "0123abc"


def make_frozen(folder: Path, umask: int) -> Path:
    before = os.umask(umask)
    try:
        inside = folder / "frozen/fengsui-edge/_internal"
        inside.mkdir(parents=True)
        (inside / "one.so").write_bytes(b"one" * 1000)
        (inside / "two.so").symlink_to("one.so")
        (inside / "empty").mkdir()
        (folder / "frozen/fengsui-edge/fengsui-edge").write_bytes(b"\x7fELF")
        (folder / "frozen/fengsui-edge/fengsui-edge").chmod(0o777 & ~umask)
    finally:
        os.umask(before)
    return folder / "frozen/fengsui-edge"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "freeze", lambda _root, work, _when_s: work / "frozen/fengsui-edge")
    monkeypatch.setattr(build, "start", lambda _tree: None)


def make(folder: Path, umask: int = 0o022, version: str = "1.2.3") -> Path:
    make_frozen(folder, umask)
    return build.build(folder, folder, folder / "dist", version, COMMIT, WHEN_S)


@pytest.mark.usefixtures("made")
def test_packed_by_others_elsewhere_it_is_the_same_file(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one"), make(tmp_path / "other", umask=0o077)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("made")
def test_unpacked_it_is_the_tree_that_its_description_names(tmp_path: Path) -> None:
    file = make(tmp_path)
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path / "a")
        assert {(entry.uid, entry.gid, entry.mtime) for entry in archive} == {(0, 0, WHEN_S)}
    told = json.loads(file.with_name(file.name.replace(".tar.xz", ".json")).read_text())
    assert told["tree_sha256"] == tree_digest(tmp_path / "a")
    assert (told["kind"], told["version"], told["size"]) == ("agent", "1.2.3", file.stat().st_size)
    assert os.access(tmp_path / "a/fengsui-edge/fengsui-edge", os.X_OK)
    assert (tmp_path / "a/fengsui-edge/_internal/two.so").readlink() == Path("one.so")


@pytest.mark.usefixtures("made")
def test_its_release_says_what_it_is_and_whence(tmp_path: Path) -> None:
    make(tmp_path)
    assert json.loads((tmp_path / "tree/release.json").read_text()) == {
        "kind": "agent",
        "version": "1.2.3",
        "hardware": [os.uname().machine],
        "commit": COMMIT,
        "built": "2027-01-15T08:00:00Z",
    }


@pytest.mark.usefixtures("made")
def test_another_version_is_another_release_of_the_same_frozen_agent(tmp_path: Path) -> None:
    make(tmp_path)
    before = tree_digest(tmp_path / "tree")
    build.build(tmp_path, tmp_path, tmp_path / "dist", "1.2.4", COMMIT, WHEN_S)
    assert tree_digest(tmp_path / "tree") != before
    assert len(list((tmp_path / "dist").glob("*.tar.xz"))) == 2


def test_what_is_frozen_is_frozen_anew_only_for_another_source(tmp_path: Path) -> None:
    for name in build.SOURCES:
        folder = tmp_path / name if "." not in name else (tmp_path / name).parent
        folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "edge/agent.py").write_text("one")
    before = build.digest_sources(tmp_path)
    (tmp_path / "edge/__pycache__").mkdir()
    (tmp_path / "edge/__pycache__/agent.pyc").write_text("compiled")
    assert build.digest_sources(tmp_path) == before
    (tmp_path / "edge/agent.py").write_text("two")
    assert build.digest_sources(tmp_path) != before


def test_a_frozen_agent_says_the_version_of_its_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release.json").write_text('{"version": "7.8.9"}')
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "fengsui-edge/fengsui-edge"))
    assert find_release() == "7.8.9"


def test_the_commit_and_its_time_are_read() -> None:
    commit, when_s = build.read_commit(Path(__file__).parents[2])
    assert len(commit.removesuffix("-changed")) == 40
    assert when_s > 1_700_000_000
