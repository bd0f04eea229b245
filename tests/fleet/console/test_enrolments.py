"""The page of who waits: decided by whoever may, written down, and shown to nobody else."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login.utils import _create_identifier

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.claims import service as claims
from fleet.sites import service as sites
from tests.fleet.identity import GATEWAY, add_claim, enrol, found_authority
from wire.claim import Issued, Waiting


@pytest.fixture
def app(services: Services) -> Flask:
    found_authority(services)
    with services.database.writing() as session:
        sites.add(session, "yufu-chem", "鱼复化工")
        for role in Role:
            accounts.add(session, role.value, None, role, services.clock())
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


def browser(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    with app.extensions["fengsui-services"].database.reading() as session:
        identity = accounts.identify(accounts.get(session, name))
    with app.test_request_context("/", environ_base=client.environ_base), client.session_transaction() as kept:
        kept.update(_user_id=identity.get_id(), _fresh=True, _id=_create_identifier())
    return client


def test_one_who_waits_is_let_in_under_the_name_that_somebody_gives(app: Flask, services: Services) -> None:
    code = add_claim(services, "")
    assert isinstance(enrol(app.test_client(), code), Waiting)
    operator = browser(app, "operator")
    assert "尚未指定是哪台网关" in operator.get("/enrolments").text
    assert operator.post("/enrolments/1", data={"decision": "approve", "gateway": "No!"}).status_code == 422
    assert operator.post("/enrolments/7", data={"decision": "refuse"}).status_code == 404
    given = {"decision": "approve", "gateway": GATEWAY, "site": "yufu-chem"}
    assert operator.post("/enrolments/1", data=given).status_code == 303
    issued = enrol(app.test_client(), code)
    assert isinstance(issued, Issued)
    assert issued.gateway == GATEWAY
    with services.database.reading() as session:
        (line,) = audit.list_lines(session, action="enrolment.approve")
    assert (line.actor, line.target) == ("operator", "1")


def test_one_who_waits_is_kept_out_and_a_claim_is_withdrawn(app: Flask, services: Services) -> None:
    code = add_claim(services, "")
    enrol(app.test_client(), code)
    add_claim(services, GATEWAY)
    operator = browser(app, "operator")
    assert operator.post("/enrolments/1", data={"decision": "refuse"}).status_code == 303
    assert operator.post("/claims/2/withdraw").status_code == 303
    assert operator.post("/claims/1/withdraw").status_code == 409, "it was used"
    assert "无等待入网的网关" in operator.get("/enrolments").text
    with services.database.reading() as session:
        withdrawn = claims.list_newest(session, 1)[0]
        assert withdrawn.expires_ns == services.clock()


@pytest.mark.parametrize(("role", "sees"), [("technician", 200), ("auditor", 200), ("enterprise", 403)])
def test_others_look_or_do_not_and_decide_nothing(app: Flask, services: Services, role: str, sees: int) -> None:
    enrol(app.test_client(), add_claim(services, ""))
    client = browser(app, role)
    page = client.get("/enrolments")
    assert page.status_code == sees
    assert 'name="decision"' not in page.text
    assert client.post("/enrolments/1", data={"decision": "refuse"}).status_code == 403
    assert client.post("/claims/1/withdraw").status_code == 403
