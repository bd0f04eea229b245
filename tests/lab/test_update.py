"""An agent under the launcher takes a release from a fleet, proves itself, or gives way to the one before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.release import RELEASE
from fleet.rollouts.states import FAILED, FINISHED
from tests.lab.update_scene import UpdateScene


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
    assert (bad.state, bad.step) == (FAILED, "rolled-back")
    assert "ended with status 1" in bad.detail
    assert scene.reported()["release"] == RELEASE
    good = await scene.outcome(await scene.assign("0.2.1"))
    assert (good.state, good.step) == (FINISHED, "confirmed")
    await scene.until(lambda: scene.reported()["release"] == "0.2.1")
    state = scene.slot_state()
    assert (state["good"]["version"], state["previous"]["version"]) == ("0.2.1", RELEASE)
