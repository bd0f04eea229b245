"""What becomes of a gateway: moved, replaced, retired. On both databases."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from fleet.accounts import scope
from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.alarms import own, rates, watch
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.app import create_app
from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.certificates import service as certificates
from fleet.claims import enrolment, journal
from fleet.claims import service as claims
from fleet.claims.enrolment import TurnedAway
from fleet.claims.models import Claim
from fleet.claims.service import Intended
from fleet.cli import main
from fleet.configs import service as configs
from fleet.configs import templates
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import lifecycle
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.live import Live
from fleet.overview import service as overview
from fleet.overview.sources import Sources
from fleet.overview.trends import Trends
from fleet.readings.models import Record
from fleet.sites import service as sites
from provisioning.codes import hash_code, make_code
from tests.fleet import edge
from tests.fleet.conftest import Clock, both_databases
from tests.fleet.identity import GATEWAY, add_claim, csr, enrol, found_authority, leaf_of, renew
from tests.fleet.scene import Scene
from tests.fleet.test_authorization import sign_in
from wire.claim import Enrol, Issued, Refusal
from wire.record import Lane

MINUTE_NS = 60_000_000_000
WHY = "the tank was torn down"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def door(services: Services) -> FlaskClient:
    found_authority(services)
    return create_app(services).test_client()


def find(services: Services, name: str = GATEWAY) -> Gateway:
    with services.database.reading() as session:
        return session.get_one(Gateway, name)


def retire(services: Services, name: str = GATEWAY, why: str = WHY) -> None:
    with services.database.writing() as session:
        lifecycle.retire(session, name, why, "wang", services.clock())


def test_a_retired_gateway_is_revoked_and_comes_back_by_a_new_claim_only(services: Services, door: FlaskClient) -> None:
    leaf_of(enrol(door, used := add_claim(services)))
    retire(services)
    row = find(services)
    assert row.retired_ns == row.barred_ns == services.clock()
    with services.database.reading() as session:
        (certificate,) = certificates.list_of_gateway(session, GATEWAY)
        assert (certificate.revoked_why, certificate.revoked_by) == (WHY, "wang")
        assert journal.newest(session, GATEWAY)[0].event == "retired"
    for answer in (enrol(door, used), renew(door)):
        assert isinstance(answer, Refusal)
        assert answer.name == "key-revoked"
    assert isinstance(enrol(door, add_claim(services), 2), Issued)
    row = find(services)
    assert (row.retired_ns, row.barred_ns) == (None, None)


def test_a_gateway_with_a_token_alone_is_barred(services: Services) -> None:
    with services.database.writing() as session:
        _, token = gateways.register(session, GATEWAY, "", None, services.clock())
    retire(services)
    with services.database.reading() as session:
        assert not gateways.check_token(session, GATEWAY, token)
    assert find(services).barred_ns == services.clock()


def test_a_gateway_that_spoke_by_its_token_comes_back_by_a_claim_without_approval(
    services: Services, door: FlaskClient
) -> None:
    Scene(services)
    retire(services)
    assert isinstance(enrol(door, add_claim(services)), Issued)
    assert find(services).retired_ns is None


def test_claims_and_keys_that_waited_for_its_name_do_not_bring_it_back(services: Services, door: FlaskClient) -> None:
    leaf_of(enrol(door, add_claim(services)))
    enrol(door, waits := add_claim(services), 2)  # the name is in use, so it waits for somebody's word
    unused = add_claim(services)
    retire(services)
    refused = [enrol(door, waits, 2), enrol(door, unused, 3)]
    assert [type(answer) for answer in refused] == [Refusal, Refusal]
    assert find(services).retired_ns is not None
    assert isinstance(enrol(door, add_claim(services), 4), Issued)


def test_retiring_wants_a_reason_a_gateway_and_one_in_service(services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, GATEWAY, "", None, services.clock())
    with pytest.raises(InvalidError):
        retire(services, why=" ")
    with pytest.raises(NotFoundError):
        retire(services, "gw-nobody-0001")
    retire(services)
    with pytest.raises(ConflictError):
        retire(services)


def test_its_alarms_are_closed_with_the_reason_and_none_is_raised_again(services: Services, clock: Clock) -> None:
    scene = Scene(services)
    scene.send(1, edge.alarm(1, "raised"), lane=Lane.ALARMS)
    clock.advance(120)

    def look() -> None:
        with services.database.writing() as session:
            watch.watch(session, clock() - 10 * MINUTE_NS, clock())
            rates.watch(session, clock())

    def standing() -> dict[str, int]:
        return dict(tuple(row) for row in scene.rows(sa.select(Alarm.name, Alarm.standing)))

    look()
    assert own.SILENT.name in standing()
    assert all(standing().values())
    retire(services)
    assert not any(standing().values())
    lines = scene.rows(
        sa.select(AlarmEvent.alarm, AlarmEvent.detail, AlarmEvent.by).where(AlarmEvent.kind == "cleared")
    )
    assert {tuple(line) for line in lines} == {(name, WHY, "wang") for name in standing()}
    clock.advance(120)
    look()
    assert not any(standing().values())


def test_an_alarm_that_came_while_it_was_retired_is_cleared(services: Services, clock: Clock) -> None:
    scene = Scene(services)
    retire(services)
    with services.database.writing() as session:
        own.raise_alarm(session, GATEWAY, own.SILENT, "31 s", clock())
        own.raise_alarm(session, GATEWAY, own.DEVICE_RATE, "1 / 9", clock(), "tank-01")
    with services.database.writing() as session:
        watch.watch(session, clock(), clock())
        rates.watch(session, clock())
    assert scene.count(Alarm, Alarm.active) == 0


def test_lists_leave_it_out_and_show_it_when_asked_and_its_page_stays(services: Services) -> None:
    Scene(services)
    with services.database.writing() as session:
        sites.add(session, "yufu", "御府")
        session.get_one(Gateway, GATEWAY).site_key = "yufu"
        gateways.register(session, "gw-yufu-0002", "", "yufu", services.clock())
    retire(services)
    with services.database.reading() as session:
        sources = Sources(session, Live(), Trends(), services.clock())
        usual, retired = overview.find_gateways(sources), overview.find_gateways(sources, state="retired")
        assert [row.name for row in usual.rows] == ["gw-yufu-0002"]
        assert [row.name for row in retired.rows] == [GATEWAY]
        assert dict(usual.states) == {"": 1, "alarm": 0, "silent": 1, "online": 0, "retired": 1}
        assert overview.find_gateway(sources, GATEWAY).retired_ns == services.clock()
        assert overview.find_now(sources).gateways_total == 1


def move(services: Services, site: str, lat: float | None = None, lon: float | None = None) -> None:
    with services.database.writing() as session:
        lifecycle.move(session, GATEWAY, site, lat, lon, "wang", services.clock())


def test_a_move_takes_the_history_to_whoever_sees_the_new_site(services: Services) -> None:
    Scene(services).send(1, edge.scan(1, 50.0, 20.5))
    enterprises = {}
    with services.database.writing() as session:
        for site in ("old", "new"):
            sites.add(session, site, site)
            accounts.add(session, site, None, Role.ENTERPRISE, services.clock())
            accounts.set_sites(session, site, [site])
            enterprises[site] = accounts.get(session, site).id

    def seen() -> dict[str, int]:
        found = {}
        for site, account in enterprises.items():
            with scope.reading(services.database, account) as session:
                found[site] = session.scalar(sa.select(sa.func.count()).select_from(Record)) or 0
        return found

    move(services, "old", 29.7, 106.6)
    before = seen()
    assert before["old"] > 0 == before["new"]
    assert find(services).lat == 29.7
    move(services, "new")
    assert seen() == {"old": 0, "new": before["old"]}
    assert (find(services).lat, find(services).lon) == (None, None)
    with services.database.reading() as session:
        assert journal.newest(session, GATEWAY)[0].detail == "old -> new"


def test_a_move_wants_another_site_and_a_gateway_in_service(services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, GATEWAY, "", None, services.clock())
        sites.add(session, "yufu", "御府")
    with pytest.raises(NotFoundError):
        move(services, "nowhere")
    with pytest.raises(InvalidError):
        move(services, "yufu", 29.7)
    move(services, "yufu")
    with pytest.raises(ConflictError):
        move(services, "yufu")
    retire(services)
    with pytest.raises(ConflictError):
        move(services, "yufu")


NEW, THIRD = "gw-yufu-0009", "gw-yufu-0010"
TEMPLATE = """
[variable.plc]
title = "address"

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://${plc}:502"
"""


def claim_place(services: Services, name: str = NEW, **more: Any) -> str:
    """Make a claim to the place of GATEWAY, and return its code."""
    code = make_code()
    with services.database.writing() as session:
        intended = Intended(gateway=name, replaces=GATEWAY, **more)
        claims.add(session, hash_code(code), intended, "wang", services.clock())
    return code


@pytest.fixture
def old(services: Services, door: FlaskClient) -> str:
    """A gateway in service that the fleet has configured by a template, and then by hand."""
    leaf_of(enrol(door, add_claim(services)))
    with services.database.writing() as session:
        sites.add(session, "yufu", "御府")
        row = session.get_one(Gateway, GATEWAY)
        row.title, row.site_key, row.lat, row.lon = "罐区", "yufu", 29.7, 106.6
        templates.add(session, "tank", TEMPLATE, "", "", "wang", services.clock())
        templates.apply(session, GATEWAY, "tank", {"plc": "10.0.0.7"}, "wang", services.clock())
        configs.put(session, GATEWAY, {"device": []}, 1, "wang", services.clock())
    return GATEWAY


def test_a_new_gateway_takes_over_when_it_gets_in_and_the_old_one_is_retired_then(
    services: Services, door: FlaskClient, old: str
) -> None:
    code = claim_place(services)
    assert find(services, old).retired_ns is None
    leaf_of(enrol(door, code, 2))
    new, retired = find(services, NEW), find(services, old)
    assert (new.title, new.site_key, new.lat, new.lon) == ("罐区", "yufu", 29.7, 106.6)
    assert (new.template, new.variables) == ("tank", {"plc": "10.0.0.7"})
    assert (retired.retired_ns, retired.replaced_by) == (services.clock(), NEW)
    with services.database.reading() as session:
        (first,) = configs.history(session, NEW)
        assert (first.version, first.config) == (1, {"device": []})
        assert len(configs.history(session, old)) == 2
        assert certificates.list_of_gateway(session, old)[0].revoked_ns is not None
        sources = Sources(session, Live(), Trends(), services.clock())
        assert overview.find_gateway(sources, NEW).replaced == (old,)
        assert overview.find_gateway(sources, old).replaced_by == NEW
    assert audited(services) == [("wang", "gateway.replace", old)]


def test_asked_again_it_is_the_same_answer_even_after_the_old_one_came_back(
    services: Services, door: FlaskClient, old: str
) -> None:
    first = leaf_of(enrol(door, code := claim_place(services), 2))
    leaf_of(enrol(door, add_claim(services), 3))
    assert leaf_of(enrol(door, code, 2)) == first
    assert find(services, old).retired_ns is None
    assert len(audited(services)) == 1


def test_what_the_claim_says_goes_first(services: Services, door: FlaskClient, old: str) -> None:
    assert old
    with services.database.writing() as session:
        sites.add(session, "tanks", "罐区")
    leaf_of(enrol(door, claim_place(services, site="tanks", title="新罐区", lat=1.0, lon=2.0), 2))
    new = find(services, NEW)
    assert (new.title, new.site_key, new.lat, new.lon) == ("新罐区", "tanks", 1.0, 2.0)


def test_a_retired_gateway_can_be_replaced_later(services: Services, door: FlaskClient, old: str) -> None:
    retire(services, old)
    leaf_of(enrol(door, claim_place(services), 2))
    assert find(services, old).replaced_by == NEW
    with pytest.raises(ConflictError, match="has replaced"):
        claim_place(services, THIRD)


def test_claims_to_a_place_that_cannot_be_are_not_made(services: Services, old: str) -> None:
    for name in ("", old):
        with pytest.raises(InvalidError):
            claim_place(services, name)
    claim_place(services)
    with pytest.raises(ConflictError, match="waits to replace"):
        claim_place(services, THIRD)
    with services.database.writing() as session:
        gateways.register(session, THIRD, "", None, services.clock())
        claims.withdraw(session, session.scalars(sa.select(Claim.id).where(Claim.gateway == NEW)).one(), "wang", 0)
    with pytest.raises(ConflictError, match="registered already"):
        claim_place(services, THIRD)
    claim_place(services)


def test_of_two_claims_that_replace_one_gateway_at_once_one_gets_in(services: Services, old: str) -> None:
    codes = [claim_place(services), make_code()]
    with services.database.writing() as session:  # as if both had been made in the same moment
        row = {"kind": "label", "gateway": THIRD, "replaces": old, "made_by": "li", "made_ns": services.clock()}
        session.add(Claim(secret_hash=hash_code(codes[1]), **row))
    outcomes: dict[int, str] = {}
    start = threading.Barrier(2)

    def present(number: int) -> None:
        asked = Enrol(claim=codes[number], csr=csr(number + 2))
        start.wait()
        with services.database.writing() as session:
            outcome = enrolment.enrol(session, services.authority, asked, "192.0.2.1", services.clock())
            outcomes[number] = outcome.name if isinstance(outcome, TurnedAway) else "in"

    threads = [threading.Thread(target=present, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes.values()) == ["already-replaced", "in"]
    winner = (NEW, THIRD)[next(number for number, word in outcomes.items() if word == "in")]
    assert find(services, old).replaced_by == winner
    with services.database.reading() as session:
        assert set(session.scalars(sa.select(Gateway.name))) == {old, winner}
        assert [line.event for line in journal.newest(session, old)].count("retired") == 1
    assert len(audited(services)) == 1


@pytest.fixture
def operator(services: Services) -> Any:
    Scene(services)
    with services.database.writing() as session:
        sites.add(session, "yufu", "御府")
        accounts.add(session, "operator", None, Role.OPERATOR, services.clock())
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()  # what the test of strangers holds
    return sign_in(app, "operator")


def audited(services: Services) -> list[tuple[str, str, str]]:
    with services.database.reading() as session:
        rows = session.execute(sa.select(AuditLine.actor, AuditLine.action, AuditLine.target).order_by(AuditLine.id))
        return [tuple(row) for row in rows if row.action.startswith("gateway.")]


def test_the_page_retires_and_shows_it_then(services: Services, operator: Any) -> None:
    path = f"/gateways/{GATEWAY}"
    assert 'value="retire"' in operator.get(path).text
    assert operator.post(path, data={"change": "retire", "why": " "}).status_code == 422
    assert audited(services) == []
    assert operator.post(path, data={"change": "retire", "why": WHY}).status_code == 303
    assert audited(services) == [("operator", "gateway.retire", GATEWAY)]
    page = operator.get(path).text
    assert "此网关已退役" in page
    assert 'value="retire"' not in page
    assert GATEWAY in operator.get("/gateways?state=retired").text
    assert operator.get("/sites/yufu").status_code == 200
    assert operator.post(path, data={"change": "retire", "why": WHY}).status_code == 409
    assert operator.post(path, data={"change": "paint"}).status_code == 400


def test_page_and_api_move(services: Services, operator: Any) -> None:
    path = f"/gateways/{GATEWAY}"
    assert operator.post(path, data={"change": "move", "site": "yufu", "lat": "north"}).status_code == 422
    assert operator.post(path, data={"change": "move", "site": "nowhere"}).status_code == 404
    assert operator.put(f"/api{path}/site", json={"site": "yufu", "lat": 29.7}).status_code == 422
    assert audited(services) == []
    assert operator.post(path, data={"change": "move", "site": "yufu"}).status_code == 303
    assert find(services).site_key == "yufu"
    assert operator.put(f"/api{path}/site", json={"site": "yufu"}).status_code == 409
    with services.database.writing() as session:
        sites.add(session, "tanks", "罐区")
    assert operator.put(f"/api{path}/site", json={"site": "tanks"}).json["site"] == "tanks"
    assert audited(services) == [("operator", "gateway.move", GATEWAY)] * 2


def test_page_and_api_make_the_claim_to_a_place(services: Services, operator: Any) -> None:
    path = f"/gateways/{GATEWAY}"
    assert operator.post(path, data={"change": "replace", "by": "x"}).status_code == 422
    assert operator.post(path, data={"change": "replace", "by": GATEWAY}).status_code == 422
    page = operator.post(path, data={"change": "replace", "by": NEW}).text
    with services.database.reading() as session:
        claim = session.scalars(sa.select(Claim)).one()
    assert (claim.gateway, claim.replaces, claim.made_by) == (NEW, GATEWAY, "operator")
    (shown,) = re.findall(r'<b class="code nowrap">([^<]+)</b>', page)
    assert hash_code(shown) == claim.secret_hash
    assert "data-events" not in page, "read anew it would lose the code"
    assert operator.post(f"/api{path}/replace", json={"by": THIRD}).status_code == 409
    with services.database.writing() as session:
        claims.withdraw(session, claim.id, "wang", 0)
    made = operator.post(f"/api{path}/replace", json={"by": THIRD})
    assert made.status_code == 201
    with services.database.reading() as session:
        assert session.get_one(Claim, made.json["claim"]).secret_hash == hash_code(made.json["code"])


def test_the_api_retires(services: Services, operator: Any) -> None:
    path = f"/api/gateways/{GATEWAY}"
    assert operator.post(f"{path}/retire", json={}).status_code == 422
    answer = operator.post(f"{path}/retire", json={"why": WHY})
    assert answer.json["retired_ns"] == operator.get(path).json["retired_ns"] == services.clock()
    assert operator.post(f"{path}/retire", json={"why": WHY}).status_code == 409
    assert audited(services) == [("operator", "gateway.retire", GATEWAY)]


def test_the_command_line_moves_replaces_and_retires(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(tmp_path / "fleet")
    assert main(["init", "--data", data]) == 0
    assert main(["gateway", "add", GATEWAY, "--data", data]) == 0
    assert main(["site", "add", "yufu", "--data", data]) == 0
    assert main(["gateway", "move", GATEWAY, "--site", "yufu", "--data", data]) == 0
    assert main(["gateway", "replace", GATEWAY, "--by", NEW, "--data", data]) == 0
    assert main(["claim", "add", "--gateway", THIRD, "--replaces", GATEWAY, "--data", data]) == 1
    assert "waits to replace" in capsys.readouterr().err
    assert main(["gateway", "retire", GATEWAY, "--why", WHY, "--data", data]) == 0
    assert main(["gateway", "retire", GATEWAY, "--why", WHY, "--data", data]) == 1
    assert "comes back by a new claim" in capsys.readouterr().err
    assert main(["audit", "export", "--data", data]) == 0
    told = capsys.readouterr().out
    assert told.count("gateway.retire") == told.count("gateway.move") == told.count("claim.replace") == 1
