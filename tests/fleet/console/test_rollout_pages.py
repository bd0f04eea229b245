"""The pages of rollouts over HTTP: every form is sent as the page before it wrote it."""

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

FORM: dict[str, Any] = {"name": "夜间升级", "release": f"agent {NEW}"}


@pytest.fixture
def park(services: Services) -> Park:
    return Park(services, 24)


@pytest.fixture
def app(park: Park) -> Flask:
    services = park.services
    with services.database.writing() as session:
        for name, role in (("li", Role.OPERATOR), ("wang", Role.ADMINISTRATOR), ("plant", Role.ENTERPRISE)):
            accounts.add(session, name, None, role, services.clock())
        accounts.set_sites(session, "plant", ["north"])
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


@pytest.fixture
def li(app: Flask) -> Any:
    return sign_in(app, "li")


def test_empty_list_teaches_and_leads_to_the_form(li: Any) -> None:
    page = li.get("/rollouts").text
    assert "还没有发布" in page
    assert "/rollouts/new" in page
    form = li.get("/rollouts/new").text
    assert f'value="agent {NEW}"' in form
    assert "危险化学品" in form
    assert "周一" in form


def test_preview_shows_waves_and_who_takes_no_part_then_the_rollout_is_made(li: Any, park: Park) -> None:
    told = {
        **FORM,
        "canaries": "gw-00，gw-01",
        "shares": "50 100%",
        "begin": "22:00",
        "end": "05:00",
        "weekday": ["6", "7"],
    }
    seen = li.post("/rollouts/new", data=told).text
    assert "第 3 批" in seen
    assert "gw-00, gw-01" in seen
    assert "须由另一账户批准" in seen
    assert 'value="22:00"' in seen
    made = li.post("/rollouts", data=told)
    assert (made.status_code, made.location) == (303, "/rollouts/1")
    rollout = park.rollout(1)
    assert rollout.rules["window"] == {"begin": "22:00", "end": "05:00", "weekdays": [6, 7], "zone": "Asia/Shanghai"}
    assert [len(wave) for wave in park.waves(1)] == [2, 11, 11]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"release": ""}, "没有选择版本"),
        ({"error_percent": "many"}, "“many”不是数字"),
        ({"attempts": "99"}, "rules.attempts: 99 is out of bounds"),
        ({"canaries": "gw-77"}, "there is no gateway &#39;gw-77&#39;"),
        ({"begin": "22:00"}, "rules.window.end"),
        ({"gateways": "gw-00", "releases": "9"}, "none of these gateways"),
    ],
)
def test_mistake_in_the_form_is_told_and_what_was_written_stays(li: Any, changes: dict[str, str], told: str) -> None:
    answer = li.post("/rollouts", data={**FORM, **changes})
    assert answer.status_code == 422
    assert told in answer.text
    assert "夜间升级" in answer.text


def test_author_waits_for_another_who_approves_and_then_it_starts(app: Flask, li: Any, park: Park) -> None:
    li.post("/rollouts", data=FORM)
    mine = li.get("/rollouts/1").text
    assert "须由他人批准" in mine
    assert 'value="approve"' not in mine
    assert li.post("/rollouts/1/change", data={"change": "approve"}).status_code == 403
    wang = sign_in(app, "wang")
    assert 'value="approve"' in wang.get("/rollouts/1").text
    assert wang.post("/rollouts/1/change", data={"change": "approve"}).status_code == 303
    assert 'value="start"' in li.get("/rollouts/1").text
    li.post("/rollouts/1/change", data={"change": "start"})
    assert park.rollout(1).state == states.RUNNING


def test_paused_rollout_says_why_in_chinese_with_the_gateways_and_offers_again(li: Any, park: Park) -> None:
    number = park.create(waves=[{"percent": 25}], rules={"executed_least": 3})
    wave = sorted(park.offered())
    park.say("rolled-back", *wave[:3], detail="bus plc did not come back")
    park.turn()
    page = li.get(f"/rollouts/{number}").text
    assert "第 1 批：3 台网关中 3 台失败，超过 10%" in page
    assert "3 × bus plc did not come back" in page
    assert f"/gateways/{wave[0]}" in page
    errors = li.get(f"/rollouts/{number}?standing=errors").text
    assert errors.count("已退回旧版本") == 3
    assert "第 1 批：3 台网关中 3 台失败" in li.get("/rollouts").text
    again = {"change": "again", "gateway": wave[0]}
    assert li.post(f"/rollouts/{number}/change?standing=errors", data=again).location.endswith("standing=errors")
    assert park.action(wave[0]).state == states.WAITING
    li.post(f"/rollouts/{number}/change", data={"change": "resume"})
    assert park.rollout(number).state == states.RUNNING


def test_stop_without_a_reason_is_refused_and_the_page_says_so(li: Any, park: Park) -> None:
    number = park.create()
    answer = li.post(f"/rollouts/{number}/change", data={"change": "stop", "why": ""})
    assert answer.status_code == 422
    assert "reason: is empty" in answer.text
    assert li.post(f"/rollouts/{number}/change", data={"change": "explode"}).status_code == 400


def test_table_is_paged_and_filtered(services: Services) -> None:
    park = Park(services, 120)
    with services.database.writing() as session:
        accounts.add(session, "li", None, Role.OPERATOR, services.clock())
    li = sign_in(create_app(services), "li")
    number = park.create()
    pages = [li.get(f"/rollouts/{number}?page={page}").text.count("<tr id=") for page in (1, 2, 3, 4)]
    assert pages == [50, 50, 20, 0]
    assert li.get(f"/rollouts/{number}?q=gw-119").text.count("<tr id=") == 1
    assert li.get(f"/rollouts/{number}?standing=errors").text.count("<tr id=") == 0


def test_gateway_waiting_for_another_update_says_so(li: Any, park: Park) -> None:
    with park.services.database.writing() as session:
        from fleet.rollouts import actions

        actions.assign(session, "gw-00", "agent", NEW, "li", park.clock())
    number = park.create(target={"gateways": ["gw-00"]})
    park.turn()
    assert f"等待其升级到 {NEW} 结束" in li.get(f"/rollouts/{number}").text


def test_gateways_page_updates_it_and_calls_that_off(li: Any, park: Park) -> None:
    assert "还没有从这里升级过" in li.get("/gateways/gw-00").text
    assert li.post("/gateways/gw-00/updates", data={"release": f"agent {NEW}"}).status_code == 303
    park.turn()
    park.say("downloading", "gw-00")
    page = li.get("/gateways/gw-00").text
    assert "正在下载" in page
    assert li.post("/gateways/gw-00/updates", data={"release": f"agent {NEW}"}).status_code == 409
    number = park.action("gw-00").id
    assert f"/gateways/gw-00/updates/{number}/cancel" in page
    li.post(f"/gateways/gw-00/updates/{number}/cancel")
    assert park.action("gw-00").state == states.CANCELLING
    assert li.post("/gateways/gw-00/updates", data={"release": ""}).status_code == 422


def test_enterprise_sees_the_updates_of_its_gateway_and_no_rollout(app: Flask, park: Park) -> None:
    number = park.create()
    plant = sign_in(app, "plant")
    page = plant.get("/gateways/gw-00").text
    assert "待轮到" in page
    assert f"/rollouts/{number}" not in page
    assert plant.get("/rollouts").status_code == 403
