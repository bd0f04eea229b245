"""The API of rollouts and of single updates."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.rollouts import states
from tests.fleet.rollouts import NEW, Park
from tests.fleet.test_authorization import sign_in

PLAN: dict[str, Any] = {"name": "new agent", "version": NEW, "waves": [{"gateways": ["gw-00"]}, {"percent": 50}]}


@pytest.fixture
def park(services: Services) -> Park:
    return Park(services, 24)


@pytest.fixture
def app(park: Park) -> Flask:
    services = park.services
    with services.database.writing() as session:
        for name, role in (
            ("li", Role.OPERATOR),
            ("wang", Role.ADMINISTRATOR),
            ("zhao", Role.AUDITOR),
            ("plant", Role.ENTERPRISE),
        ):
            accounts.add(session, name, None, role, services.clock())
        accounts.set_sites(session, "plant", ["north"])
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


@pytest.fixture
def li(app: Flask) -> Any:
    return sign_in(app, "li")


def test_preview_create_approve_start_and_watch(app: Flask, li: Any, park: Park) -> None:
    seen = li.post("/api/rollouts/preview", json=PLAN).json
    assert (seen["size"], seen["needs_approval"]) == (24, True)
    assert [len(wave) for wave in seen["waves"]] == [1, 12, 11]
    made = li.post("/api/rollouts", json=PLAN)
    assert (made.status_code, made.json["state"]) == (201, "approval")
    here = f"/api/rollouts/{made.json['id']}"
    refused = li.post(f"{here}/approve")
    assert (refused.status_code, refused.json["hint"]) == (403, "ask somebody else who may configure")
    assert sign_in(app, "wang").post(f"{here}/approve").json["approvals"] == ["wang"]
    assert li.post(f"{here}/start").json["state"] == "running"
    park.turn()
    park.say("downloading", "gw-00", detail="a third")
    shown = li.get(here).json
    assert shown["waves"][0] == {"size": 1, "states": {"running": 1}}
    assert [wave["size"] for wave in shown["waves"]] == [1, 12, 11]
    (row,) = li.get(f"{here}/actions?standing=open").json["actions"]
    assert (row["gateway"], row["step"], row["detail"], row["wave"]) == ("gw-00", "downloading", "a third", 0)
    assert li.get("/api/rollouts").json["rollouts"][0]["id"] == made.json["id"]
    audited = {line.action for line in _audit(park)}
    assert {"rollout.create", "rollout.approve", "rollout.start"} <= audited


def _audit(park: Park) -> Any:
    from fleet.audit import service as audit

    with park.services.database.reading() as session:
        return audit.list_lines(session)


def test_pause_resume_stop_and_offer_again(li: Any, park: Park) -> None:
    number = park.create(target={"gateways": ["gw-00", "gw-01"]}, rules={"executed_least": 2})
    here = f"/api/rollouts/{number}"
    assert li.post(f"{here}/pause", json={"reason": "look"}).json["reason"] == "li: look"
    assert li.post(f"{here}/pause", json={}).status_code == 409
    assert li.post(f"{here}/resume").json["state"] == "running"
    park.turn()
    park.say("rolled-back", "gw-00", "gw-01", detail="a bus was lost")
    park.turn()
    shown = li.get(here).json
    assert shown["cause"]["reasons"] == [["a bus was lost", 2, ["gw-00", "gw-01"]]]
    assert li.post(f"{here}/again", json={"gateways": ["gw-00"]}).json == {"offered": 1}
    assert li.post(f"{here}/again", json={"gateways": ["gw-05"]}).status_code == 404
    assert li.post(f"{here}/stop", json={"reason": ""}).status_code == 422
    assert li.post(f"{here}/stop", json={"reason": "bad release"}).json["state"] == "stopping"


def test_rollout_is_denied_with_a_reason(app: Flask, li: Any) -> None:
    number = li.post("/api/rollouts", json=PLAN).json["id"]
    answer = sign_in(app, "wang").post(f"/api/rollouts/{number}/deny", json={"reason": "not now"})
    assert (answer.json["state"], answer.json["reason"]) == ("denied", "wang: not now")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "9"}, "no published agent of version 9"),
        ({"rules": {"attempts": 99}}, "rules.attempts: 99 is out of bounds"),
        ({"waves": [{}]}, "waves[0]"),
    ],
)
def test_plan_that_cannot_be_is_refused_with_its_place(li: Any, changes: dict[str, Any], told: str) -> None:
    for path in ("/api/rollouts", "/api/rollouts/preview"):
        answer = li.post(path, json={**PLAN, **changes})
        assert answer.status_code == 422
        assert told in answer.json["error"]
        assert answer.json["hint"]


def test_actions_are_paged_and_filtered(li: Any, park: Park) -> None:
    number = park.create(waves=[{"percent": 25}])
    here = f"/api/rollouts/{number}/actions"
    park.turn()
    assert li.get(f"{here}?standing=planned").json["total"] == 18
    page = li.get(f"{here}?limit=5&skip=22").json
    assert (page["total"], len(page["actions"])) == (24, 2)
    assert li.get(f"{here}?wave=0&limit=1").json["total"] == 6
    assert [row["gateway"] for row in li.get(f"{here}?q=w-07").json["actions"]] == ["gw-07"]
    assert li.get(f"{here}?standing=strange").status_code == 422


def test_single_gateway_is_updated_and_the_update_called_off(li: Any, park: Park) -> None:
    here = "/api/gateways/gw-00/updates"
    made = li.post(here, json={"version": NEW, "attempts": 2})
    assert (made.status_code, made.json["state"], made.json["attempts_most"]) == (201, "waiting", 2)
    assert li.post(here, json={"version": NEW}).status_code == 409
    park.turn()
    park.say("downloading", "gw-00")
    one = f"{here}/{made.json['id']}"
    assert [event["step"] for event in li.get(one).json["events"]] == ["downloading"]
    assert li.post(f"{one}/cancel", json={"reason": "not today"}).json["state"] == states.CANCELLING
    park.say("cancelled", "gw-00")
    assert li.post(f"{one}/cancel", json={}).status_code == 409
    assert li.get(f"/api/gateways/gw-01/updates/{made.json['id']}").status_code == 404


def test_who_looks_only_changes_nothing_and_an_enterprise_sees_the_updates_of_its_own_gateways(
    app: Flask, park: Park
) -> None:
    number = park.create()
    auditor, plant = sign_in(app, "zhao"), sign_in(app, "plant")
    assert auditor.get(f"/api/rollouts/{number}").status_code == 200
    assert auditor.post(f"/api/rollouts/{number}/pause", json={}).status_code == 403
    assert plant.get("/api/rollouts").status_code == 403
    (own,) = plant.get("/api/gateways/gw-00/updates").json["updates"]
    assert own["version"] == NEW
    assert plant.get(f"/api/gateways/gw-00/updates/{own['id']}").json["events"] == []
    assert plant.get("/api/gateways/gw-01/updates").status_code == 404
    assert plant.get(f"/api/gateways/gw-00/updates/{own['id'] + 1}").status_code == 404
    assert plant.post("/api/gateways/gw-00/updates", json={"version": NEW}).status_code == 403
