"""An agent under the launcher takes a release from a fleet, proves itself, or gives way to the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.release import RELEASE
from fleet.releases.packing import pack_profiles
from fleet.rollouts.states import FAILED, FINISHED
from tests.lab.update_scene import UpdateScene

PROFILE = Path(__file__).parents[2] / "drivers" / "profiles" / "pemtech_pt495.toml"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[UpdateScene]:
    made = UpdateScene(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_bad_release_gives_way_to_the_one_before_and_a_good_one_is_confirmed(scene: UpdateScene) -> None:
    scene.engineer.release("0.2.0", "crashes")
    scene.engineer.release("0.2.1")
    bad = await scene.outcome(await scene.assign("0.2.0"))
    assert (bad.state, bad.step) == (FAILED, "rolled-back"), bad.detail
    assert "ended with status 1" in bad.detail
    assert scene.reported()["release"] == RELEASE
    good = await scene.outcome(await scene.assign("0.2.1"))
    assert (good.state, good.step) == (FINISHED, "confirmed"), good.detail
    await scene.until(lambda: scene.reported()["release"] == "0.2.1")
    state = scene.slot_state()
    assert (state["good"]["version"], state["previous"]["version"]) == ("0.2.1", RELEASE)


def write_profile(folder: Path, old: str, new: str) -> Path:
    """Make a folder of profiles with the one of the park's detectors, in which something is another."""
    folder.mkdir()
    text = PROFILE.read_text("utf-8")
    assert old in text
    (folder / PROFILE.name).write_text(text.replace(old, new), "utf-8")
    return folder


async def test_profiles_are_put_in_place_without_a_restart_and_taken_back_if_they_silence_something(
    scene: UpdateScene, tmp_path: Path
) -> None:
    def titles() -> set[str]:
        return {tag["title"] for tag in scene.reported()["tags"] if tag["name"].startswith("gd-01.")}

    good = write_profile(tmp_path / "good", 'title = "可燃气"', 'title = "甲烷"')
    bad = write_profile(tmp_path / "bad", "register = 4000", "register = 4999")
    pid = scene.side.agent.pid
    await asyncio.to_thread(scene.engineer.publish, pack_profiles(good, "1.1", tmp_path / "dist"), "another title")
    done = await scene.outcome(await scene.assign("1.1", "profiles"))
    assert (done.state, done.step) == (FINISHED, "confirmed"), done.detail
    await scene.until(lambda: "甲烷" in titles())
    assert scene.side.agent.pid == pid
    await asyncio.to_thread(scene.engineer.publish, pack_profiles(bad, "1.2", tmp_path / "dist"), "wrong registers")
    gone_back = await scene.outcome(await scene.assign("1.2", "profiles", attempts_most=1))
    assert (gone_back.state, gone_back.step) == (FAILED, "rolled-back")
    assert "gd-01" in gone_back.detail
    await scene.until(lambda: "甲烷" in titles())
    assert scene.side.agent.pid == pid
