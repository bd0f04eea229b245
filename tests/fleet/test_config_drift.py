"""Which gateways do not run what the fleet wants, why, and since when. On both databases."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.bootstrap import Services
from fleet.configs import drift, sending, service, templates
from fleet.configs.drift import Twin, judge
from fleet.errors import ConflictError, InvalidError
from fleet.gateways import service as gateways
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from tests.fleet.test_config_diff import CONFIG
from wire.topics import Up
from wire.twin import Reported

S = 10**9


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.mark.parametrize(
    ("twin", "judged"),
    [
        (Twin(), None),
        (Twin(reported=0, reported_ns=5), ("local", 5)),
        (Twin(reported=3, reported_ns=5), ("ahead", 5)),
        (Twin(desired=2, desired_ns=0, reported=1), ("late", 0)),
        (Twin(desired=2, desired_ns=900 * S, reported=1), None),
        (Twin(desired=2, desired_ns=0), ("late", 0)),
        (Twin(desired=2, reported=1, reported_ns=7, refused=2), ("refused", 7)),
        (Twin(desired=3, desired_ns=900 * S, reported=1, refused=2), None),
        (Twin(desired=2, reported=1, refused=2, trial="returned", trial_version=2, trial_ns=8), ("returned", 8)),
        (Twin(desired=3, reported=1, reported_ns=7, refused=3, trial="returned", trial_version=2), ("refused", 7)),
        (Twin(desired=2, reported=2, trial="on", trial_version=2, trial_ns=9), ("trying", 9)),
        (Twin(desired=2, reported=2, trial="kept", trial_version=2), None),
        (Twin(desired=2, reported=3, reported_ns=7), ("ahead", 7)),
        (Twin(desired=2, reported=2, reported_ns=7, desired_digest="a", reported_digest="b"), ("changed", 7)),
        (Twin(desired=2, reported=2, desired_digest="a", reported_digest="a"), None),
        (Twin(desired=2, reported=2, desired_digest="", reported_digest="b"), None),
    ],
)
def test_drift_is_judged_by_both_halves_of_the_twin(twin: Twin, judged: Any) -> None:
    assert judge(twin, 1000 * S) == judged


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


def report(scene: Scene, **changes: Any) -> None:
    reported = Reported(**{"version": 0, "release": "0.1.0", **changes})
    scene.committer.commit([edge.up(Up.REPORTED, reported, received_ns=scene.services.clock())])


def want(scene: Scene, config: dict[str, Any], expected: int) -> None:
    with scene.services.database.writing() as session:
        service.put(session, edge.GATEWAY, config, expected, "wang", scene.services.clock())


def found(scene: Scene) -> list[tuple[str, int | None, str]]:
    with scene.services.database.reading() as session:
        rows = drift.find(session, scene.services.clock())
        assert drift.count_amiss(session, scene.services.clock()) == sum(row.state in drift.AMISS for row in rows)
    return [(row.state, row.since_ns, row.reason) for row in rows]


def test_gateway_is_followed_from_its_own_file_to_a_version_that_it_gives_up(scene: Scene, clock: Clock) -> None:
    assert found(scene) == []
    report(scene)
    assert found(scene) == [("local", START_NS, "")]
    want(scene, CONFIG, 0)
    assert found(scene) == []
    clock.advance(301)
    assert found(scene) == [("late", START_NS, "")]
    report(scene, version=1, config=CONFIG, trial="on", tried=1, trial_ns=START_NS + 5)
    assert found(scene) == [("trying", START_NS + 5, "")]
    report(scene, refused=1, reason="bus plc", trial="returned", tried=1, trial_ns=START_NS + 6)
    assert found(scene) == [("returned", START_NS + 6, "bus plc")]
    report(scene, version=1, config=CONFIG, trial="kept", tried=1)
    assert found(scene) == []
    report(scene, version=1, config={**CONFIG, "alarm": []})
    assert found(scene) == [("changed", clock(), "")]


def test_report_of_an_earlier_release_knows_no_trial(scene: Scene) -> None:
    want(scene, CONFIG, 0)
    report(scene, version=1, config=CONFIG)
    assert found(scene) == []


def test_preview_compares_with_the_newest_version_else_with_what_runs(scene: Scene) -> None:
    report(scene, config=CONFIG)
    data = scene.services.settings.data_dir
    with scene.services.database.reading() as session:
        seen = sending.preview(session, edge.GATEWAY, CONFIG, data)
        assert (seen.version, seen.changes, seen.faults, seen.checked_by) == (0, (), (), "0.1.0")
    want(scene, {}, 0)
    with scene.services.database.reading() as session:
        seen = sending.preview(session, edge.GATEWAY, CONFIG, data)
    assert (seen.version, len(seen.changes)) == (1, 3)


def test_configuration_that_its_release_would_refuse_is_not_sent(scene: Scene) -> None:
    report(scene)
    wrong = sending.Chosen(config={"buss": []})
    right = sending.Chosen(config=CONFIG)
    data = scene.services.settings.data_dir
    with scene.services.database.writing() as session:
        with pytest.raises(InvalidError, match="buss: there is no such table"):
            sending.send(session, edge.GATEWAY, wrong, 0, "wang", 5, data)
        assert service.latest(session, edge.GATEWAY) is None
        assert sending.send(session, edge.GATEWAY, right, 0, "wang", 5, data).version == 1
        with pytest.raises(ConflictError):
            sending.send(session, edge.GATEWAY, right, 0, "li", 6, data)


def test_gateway_of_a_release_that_nobody_knows_judges_alone(scene: Scene) -> None:
    report(scene, release="7.7.7")
    with scene.services.database.writing() as session:
        chosen = sending.Chosen(config={"buss": []})
        assert sending.send(session, edge.GATEWAY, chosen, 0, "wang", 5, scene.services.settings.data_dir).version == 1


def test_earlier_version_is_sent_again_as_a_new_one(scene: Scene) -> None:
    want(scene, CONFIG, 0)
    want(scene, {}, 1)
    with scene.services.database.writing() as session:
        chosen = sending.choose_earlier(session, edge.GATEWAY, 1)
        sending.send(session, edge.GATEWAY, chosen, 2, "li", 9, scene.services.settings.data_dir)
        rows = service.history(session, edge.GATEWAY)
        assert [(row.version, row.author) for row in rows] == [(3, "li"), (2, "wang"), (1, "wang")]
        assert rows[0].config == CONFIG
        assert [row.version for row in service.history(session, edge.GATEWAY, before=3, most=1)] == [2]


@pytest.mark.parametrize("config", [{"a": float("nan")}, {"a": "\0"}, {"a": START_NS.__class__}])
def test_what_no_message_carries_is_refused(scene: Scene, config: dict[str, Any]) -> None:
    with scene.services.database.writing() as session, pytest.raises(InvalidError):
        service.put(session, edge.GATEWAY, config, 0, "wang", 5)


def test_template_tells_which_of_its_versions_each_gateway_was_given(scene: Scene) -> None:
    document = '[variable.host]\n[[bus]]\nname = "plc"\nkind = "modbus"\nurl = "tcp://${host}:502"\n'
    with scene.services.database.writing() as session:
        gateways.register(session, "gw-other-0001", "", None, 0)
        templates.add(session, "tank", document, "", "", "wang", 1)
        chosen = sending.choose_template(session, "tank", {"host": "10.0.0.1"})
        sending.send(session, edge.GATEWAY, chosen, 0, "li", 2, scene.services.settings.data_dir)
        templates.add(session, "tank", document, "second", "", "wang", 3)
        ((gateway, desired),) = templates.list_runs(session, "tank")
        assert desired is not None
        assert (gateway.name, desired.template_version, gateway.variables) == (edge.GATEWAY, 1, {"host": "10.0.0.1"})
        assert [row.version for row in templates.list_versions(session, "tank")] == [2, 1]
