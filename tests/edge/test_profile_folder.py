"""Released profiles are the old ones or the new ones, whole, wherever the power is cut."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.updates.profiles import ProfileFolder

FILES = 4
RENAME, RMTREE = os.rename, shutil.rmtree


class PowerCutError(BaseException):
    """The power is gone."""


class Power:
    """Goes after a number of touches to the disk; a removal may be cut half way."""

    def __init__(self, touches: int) -> None:
        self.left = touches

    def touch(self) -> None:
        if self.left == 0:
            raise PowerCutError
        self.left -= 1

    def rename(self, source: Path, target: Path) -> None:
        self.touch()
        RENAME(source, target)

    def rmtree(self, folder: Path, **_: object) -> None:
        for path in sorted(folder.glob("*")):
            self.touch()
            path.unlink()
        RMTREE(folder, ignore_errors=True)


def make_tree(folder: Path, version: str) -> Path:
    folder.mkdir()
    (folder / "release.json").write_text(json.dumps({"version": version}))
    for number in range(FILES):
        (folder / f"z{number}.profile.toml").write_text(version)
    return folder


def make_first(home: Path) -> ProfileFolder:
    home.mkdir()
    folder = ProfileFolder(home)
    folder.put(make_tree(home / "room", "1"))
    folder.settle()
    return folder


def whole_version(folder: ProfileFolder) -> str:
    """Return the version in place; every profile must be of it."""
    version = folder.version()
    assert [file.read_text() for file in sorted(folder.released.glob("*.toml"))] == [version] * FILES
    return version


@pytest.mark.parametrize(
    ("judge", "kept"), [(ProfileFolder.settle, "2"), (ProfileFolder.take_back, "1")], ids=["settled", "taken back"]
)
def test_cut_anywhere_the_profiles_are_whole_after_the_start(
    tmp_path: Path, judge: Callable[[ProfileFolder], None], kept: str
) -> None:
    for touches in itertools.count():
        home = tmp_path / str(touches)
        folder = make_first(home)
        room = make_tree(home / "room", "2")
        is_cut = False
        with pytest.MonkeyPatch.context() as patch:
            power = Power(touches)
            patch.setattr(os, "rename", power.rename)
            patch.setattr(shutil, "rmtree", power.rmtree)
            try:
                folder.put(room)
                judge(folder)
            except PowerCutError:
                is_cut = True
        started = ProfileFolder(home)
        started.mend()
        assert whole_version(started) in ("1", kept)
        if not is_cut:
            assert whole_version(started) == kept
            break
    assert touches > FILES


def test_what_could_not_be_settled_is_not_in_place_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    folder = make_first(tmp_path / "home")
    folder.put(make_tree(tmp_path / "room", "2"))
    in_the_way = folder.released.with_suffix(".gone")
    in_the_way.write_text("")
    with pytest.raises(EdgeError, match="cannot be kept"):
        folder.settle()
    assert folder.version() == "1"
    in_the_way.unlink()
    folder.put(make_tree(tmp_path / "room", "2"))
    folder.settle()
    assert whole_version(folder) == "2"
