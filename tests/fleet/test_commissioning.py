"""A technician's scan, what the gateway checks, trials of outputs, and the signature after which nothing changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from edge import checklist
from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.audit import service as audit
from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.claims.models import Claim
from fleet.claims.strangers import KEPT_S, Strangers
from fleet.claims.views import QUICK_MOST, Doorkeeper
from fleet.commands.models import GatewayCommand
from fleet.commissioning import finding, steps
from fleet.commissioning.models import Commissioning
from fleet.commissioning.photo import strip
from fleet.commissioning.steps import Destination, Findings, Trial, compose
from fleet.configs import templates
from fleet.console.faults import FAULTS
from fleet.errors import InvalidError
from fleet.gateways.models import Gateway
from fleet.sites import service as sites
from provisioning.codes import make_code
from provisioning.keys import fingerprint
from provisioning.label import make_local_link, read_fragment
from tests.fleet.conftest import Clock
from tests.fleet.identity import add_claim, enrol, found_authority, key_number
from tests.fleet.kits import TEMPLATE
from tests.fleet.test_authorization import sign_in
from wire.checklist import Check
from wire.claim import Issued, Waiting

SITE, NAME = "yufu-chem", "gw-yufu-chem-0001"
KEY = "0123456789abcdef-request"
S = 1_000_000_000


@pytest.fixture
def app(services: Services) -> Flask:
    found_authority(services)
    with services.database.writing() as session:
        sites.add(session, SITE, "鱼复化工园", "chemical", 29.7163, 106.6301)
        sites.add(session, "other", "别处")
        accounts.add(session, "li", None, Role.TECHNICIAN, services.clock())
        for name, site in (("owner", SITE), ("stranger", "other")):
            accounts.add(session, name, None, Role.ENTERPRISE, services.clock())
            accounts.set_sites(session, name, [site])
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


@pytest.fixture
def technician(app: Flask) -> FlaskClient:
    client: FlaskClient = sign_in(app, "li")
    return client


def form(code: str, **changes: Any) -> dict[str, Any]:
    return {"code": code, "request_key": KEY, "site": SITE, "lat": "29.7165", "lon": "106.6304", **changes}


def rows(services: Services, table: Any) -> list[Any]:
    with services.database.reading() as session:
        return list(session.scalars(sa.select(table)))


def test_a_typed_code_finds_the_key_of_the_gateway_that_shows_it(
    app: Flask, services: Services, technician: FlaskClient
) -> None:
    code, door = make_code(), app.test_client()
    assert enrol(door, code, kind="local") == Waiting(reason="unscanned", retry_s=3.0)
    answer = technician.post("/claim", data=form(code))
    assert (answer.status_code, answer.location) == (303, "/claim/1")
    (claim,) = rows(services, Claim)
    assert (claim.gateway, claim.site_key, claim.lat) == (NAME, SITE, 29.7165)
    assert claim.key == fingerprint(key_number(1).public_key())
    assert isinstance(enrol(door, code, kind="local"), Issued)
    assert not isinstance(enrol(door, code, 2, kind="local"), Issued)
    page = technician.get("/claim/1").text
    assert 'data-kind="certificate" data-state="done"' in page


def test_what_is_sent_again_on_a_bad_link_is_done_once(app: Flask, services: Services, technician: FlaskClient) -> None:
    code = make_code()
    enrol(app.test_client(), code, kind="local")
    assert [technician.post("/claim", data=form(code)).location for _ in range(3)] == ["/claim/1"] * 3
    assert len(rows(services, Claim)) == len(rows(services, Commissioning)) == 1


def test_codes_that_nobody_shows_are_refused_counted_and_leave_nothing(
    services: Services, technician: FlaskClient
) -> None:
    statuses = [technician.post("/claim", data=form(make_code())).status_code for _ in range(22)]
    assert statuses == [404] * 20 + [429] * 2
    assert rows(services, Claim) == rows(services, Commissioning) == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"code": "7K3Q"}, 422), ({"request_key": ""}, 422), ({"lat": "north"}, 422), ({"lat": "91"}, 422),
        ({"lon": ""}, 422), ({"note": "x" * 501}, 422), ({"gateway": "x"}, 422), ({"site": "nowhere"}, 404),
        ({"template": "none"}, 404), ({"key": "z"}, 422),
        ({"title": "\0"}, 422), ({"note": "\0"}, 422), ({"lat": "nan"}, 422),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_leaves_nothing(
    services: Services, technician: FlaskClient, changes: dict[str, str], status: int
) -> None:
    data = {"key": "a" * 64, **form(make_code())} | changes
    assert technician.post("/claim", data=data).status_code == status
    assert rows(services, Claim) == rows(services, Commissioning) == []


def test_who_waits_under_the_name_of_a_gateway_in_use_moves_nothing_of_it(
    app: Flask, services: Services, technician: FlaskClient
) -> None:
    door, theirs, mine = app.test_client(), add_claim(services, NAME, site=SITE), make_code()
    assert isinstance(enrol(door, theirs), Issued)
    with services.database.writing() as session:
        templates.add(session, "tank", TEMPLATE, "Tank", "", "admin", services.clock())
    enrol(door, mine, 2, kind="local")
    technician.post("/claim", data=form(mine, gateway=NAME))
    assert enrol(door, mine, 2, kind="local") == Waiting(reason="in-use", retry_s=15.0)
    again = form(mine, gateway=NAME, request_key="another-request-1", template="tank", **{"var.tank.port": "1"})
    assert technician.post("/claim", data=again).status_code == 303
    trial = technician.post("/claim/2/trial", data={"output": "siren"})
    assert (trial.status_code, "has not come by this claim" in trial.text) == (400, True)
    (gateway,) = rows(services, Gateway)
    assert (gateway.lat, gateway.template, rows(services, GatewayCommand)) == (None, "", [])


def test_a_report_is_signed_once_by_its_own_enterprise_and_the_audit_log_has_its_hash(
    app: Flask, services: Services, technician: FlaskClient
) -> None:
    code = make_code()
    enrol(app.test_client(), code, kind="local")
    technician.post("/claim", data=form(code, note="东侧"))
    enrol(app.test_client(), code, kind="local")
    assert sign_in(app, "stranger").get("/claim/1").status_code == 404
    assert sign_in(app, "stranger").post("/claim/1/sign").status_code == 404
    assert technician.get("/claim/1/report.pdf").data.startswith(b"%PDF")
    assert technician.post("/claim/1/sign", data={"name": " "}).status_code == 400
    owner = sign_in(app, "owner")
    assert owner.post("/claim", data=form(code)).status_code == 403
    assert owner.post("/claim/1/sign", data={"name": "somebody else"}).status_code == 303
    (row,) = rows(services, Commissioning)
    assert (row.signed_by, row.signed_via) == ("owner", "account")
    assert technician.post("/claim/1/sign", data={"name": "again"}).status_code == 400
    assert technician.post("/claim", data=form(code, request_key="another-request-1")).status_code == 409
    assert technician.get("/claim/1/report.pdf").data == row.report
    with services.database.reading() as session:
        lines = session.scalars(sa.select(AuditLine).where(AuditLine.action == "commissioning.sign")).all()
        assert audit.check(session) == ()
    done = [line for line in lines if line.outcome == audit.DONE]
    assert [row.report_sha256 in line.detail for line in done] == [True]


def found(**changes: Any) -> Findings:
    start: dict[str, Any] = {
        "now_ns": 100 * S, "begun_ns": 99 * S, "asked_ns": None, "waits": "", "not_after_ns": None, "heard_ns": None,
        "wanted_version": None, "reported_version": None, "refused": "", "door": (), "checks": (), "record": None,
        "record_ns": None,
    }  # fmt: skip
    return Findings(**start | changes)


HEARD = {"asked_ns": 99 * S, "not_after_ns": 10**18, "heard_ns": 99 * S}
LATE = {"now_ns": 200 * S}
OUTPUT = (Check(kind="output", subject="siren", state="done"),)


def trial(**changes: Any) -> dict[str, Any]:
    start: dict[str, Any] = {"number": 1, "output": "siren", "was_seen": None, "state": "done", "detail": ""}
    return {"checks": OUTPUT, "trials": {"siren": Trial(**start | changes)}, **HEARD}


@pytest.mark.parametrize(
    ("changes", "kind", "state", "fault"),
    [
        ({}, "ask", "waiting", ""),
        (LATE, "ask", "failed", "door-silent"),
        ({"waits": "in-use", "asked_ns": 99 * S}, "ask", "failed", "door-in-use"),
        (HEARD, "mqtt", "done", ""),
        ({"asked_ns": 99 * S, "not_after_ns": 10**18, **LATE}, "mqtt", "failed", "mqtt-silent"),
        ({**HEARD, "wanted_version": 1, "refused": "bus[0]"}, "configuration", "failed", "configuration-refused"),
        ({**HEARD, "wanted_version": 1, "reported_version": 1}, "configuration", "done", ""),
        ({**HEARD, **LATE}, "record", "failed", "record-missing"),
        ({**HEARD, "record": 7}, "record", "done", ""),
        ({**HEARD, "record": 7, "destinations": [Destination(name="d", position=7, error="")]}, "platform", "done", ""),
        (
            {**HEARD, "record": 7, "destinations": [Destination(name="d", position=6, error="500")]},
            "platform", "failed", "platform-refuses",
        ),
        (trial(), "trial", "waiting", ""),
        (trial(was_seen=True), "trial", "done", ""),
        (trial(was_seen=False), "trial", "failed", "trial-unseen"),
        (trial(state="refused"), "trial", "failed", "trial-refused"),
    ],
)  # fmt: skip
def test_each_step_stands_as_what_is_known_says(changes: dict[str, Any], kind: str, state: str, fault: str) -> None:
    step = next(step for step in compose(found(**changes)) if step.kind == kind)
    assert (step.state, step.fault) == (state, fault)


def test_every_failure_has_words_and_stands_in_the_document() -> None:
    text = "\n".join(Path(module.__file__ or "").read_text("utf-8") for module in (checklist, steps))
    named = set(
        re.findall(r'"((?:door|clock|mqtt|configuration|bus|device|output|record|platform|trial)-[a-z-]+)"', text)
    )
    document = Path("docs/operate/commissioning.md").read_text("utf-8")
    assert named == set(FAULTS)
    assert {name for name in named if f"`{name}`" not in document} == set()


def frame(height: int, width: int) -> bytes:
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xc2\x00\x0b\x08" + sides + b"\x01\x01\x11\x00"


@pytest.mark.parametrize("sides", [(65_535, 65_535), (8, 10_001), (0, 8)])
def test_a_photo_that_no_memory_holds_is_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(InvalidError, match="points"):
        strip(b"\xff\xd8" + frame(*sides) + b"\xff\xda\x00\x02rest")


def test_a_photo_keeps_its_picture_and_loses_what_is_said_of_it() -> None:
    table = b"\xff\xdb\x00\x04ab" + frame(600, 800)
    assert strip(b"\xff\xd8\xff\xe1\x00\x08secret" + table + b"\xff\xda\x00\x02rest") == (
        b"\xff\xd8" + table + b"\xff\xda\x00\x02rest"
    )
    for wrong in (b"", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xff", b"\xff\xd8" + bytes(3 * 1024 * 1024)):
        with pytest.raises(InvalidError):
            strip(wrong)


def test_strangers_are_forgotten_and_a_second_key_does_not_take_the_place_of_the_first() -> None:
    now = [0.0]
    strangers = Strangers(lambda: now[0])
    strangers.note("hash", "first", ())
    strangers.note("hash", "second", ())
    known = strangers.find("hash")
    assert known is not None
    assert known.key == "first"
    now[0] = KEPT_S
    assert strangers.find("hash") is None


def test_many_that_wait_are_asked_to_come_less_often() -> None:
    keeper = Doorkeeper(lambda: 0.0)
    assert [keeper.when_again("unscanned") for _ in range(QUICK_MOST + 1)] == [3.0] * QUICK_MOST + [15.0]
    assert keeper.when_again("in-use") == 15.0


def test_a_link_and_a_code_are_read_alike() -> None:
    assert read_fragment(make_local_link("https://fleet/", "CODE", "key")) == ("CODE", "key")
    assert read_fragment(" CODE ") == ("CODE", "")


def test_the_first_record_is_looked_for_where_an_index_answers(services: Services, clock: Clock) -> None:
    _ = clock
    with services.database.reading() as session:
        row = Commissioning(gateway="gw-none-0001", begun_ns=0)
        assert finding.find_first(session, row, needs_values=True) is None


def test_a_report_that_was_signed_by_hand_says_on_whose_phone(
    app: Flask, technician: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("fleet.console.report.paragraph", lambda text: drawn.append(text) or text)
    code = make_code()
    enrol(app.test_client(), code, kind="local")
    technician.post("/claim", data=form(code))
    assert technician.post("/claim/1/sign", data={"name": "王总"}).status_code == 303
    name = next(at for at, text in enumerate(drawn) if text.startswith("王总"))
    assert "li" in drawn[name:]
