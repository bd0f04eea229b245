"""Kits: what the fleet signs, who takes it, and what comes back counts once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from fleet.app import create_app
from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.claims.models import Claim
from fleet.configs import service as configs
from fleet.kits.models import SiteEntry
from provisioning.authority import issue_server, issue_service, to_pem
from provisioning.codes import hash_code, make_code
from provisioning.errors import RequestError
from provisioning.keys import make_key
from provisioning.kit.documents import CONTENT, GRANT, Content, decode, read_bundle, read_grant, sign_order
from provisioning.kit.signed import SIGNER, sign, verify
from provisioning.signing import make_private_key, read_private_key
from tests.fleet.conftest import Clock
from tests.fleet.identity import add_claim, enrol, found_authority
from tests.fleet.kits import GATEWAY, KIT, LAPTOP_KEY, furnish, headers, make_order, make_parts, wanted
from wire.claim import Issued, Waiting

DAY_S = 86_400


@pytest.fixture
def client(services: Services) -> FlaskClient:
    found_authority(services)
    return create_app(services).test_client()


@pytest.fixture
def token(services: Services) -> str:
    return furnish(services)


def entry(code: str, number: int = 1, **detail: Any) -> dict[str, Any]:
    told = {"claim_sha256": hash_code(code), "site": "yufu", "template": "tank", "variables": {"port": 1502}}
    return {
        "id": f"{number:032x}",
        "kind": "site",
        "gateway": GATEWAY,
        "at_ns": 5,
        "by": "李工",
        "detail": told | detail,
    }


def put(client: FlaskClient, token: str, *entries: dict[str, Any]) -> Any:
    return client.post(f"/api/kits/{KIT}/entries", json={"entries": list(entries)}, headers=headers(token))


def test_what_the_fleet_signed_is_known_by_its_roots_sha256_alone(
    services: Services, client: FlaskClient, token: str
) -> None:
    code, grant, content, anchor = make_parts(services, client, token)
    read = read_grant(grant, anchor, services.clock())
    assert (read.kit, read.slots[0].claim_sha256, read.made_by) == (KIT, hash_code(code), "tech")
    carried = decode(verify(CONTENT, content, anchor), Content)
    assert [site.key for site in carried.sites] == ["yufu"]
    assert [form.key for form in carried.templates] == ["tank"]


def test_the_code_stays_on_the_laptop(services: Services, client: FlaskClient, token: str) -> None:
    code, *_ = make_parts(services, client, token)
    with services.database.reading() as session:
        assert session.scalars(sa.select(Claim.secret_hash)).all() == [hash_code(code)]
        lines = session.scalars(sa.select(AuditLine).where(AuditLine.action == "kit.make")).all()
        assert [(line.actor, line.target) for line in lines] == [("tech", KIT)]


def test_a_grant_ends(services: Services, client: FlaskClient, clock: Clock, token: str) -> None:
    _, grant, _, anchor = make_parts(services, client, token)
    clock.advance(7 * DAY_S)
    with pytest.raises(RequestError) as refused:
        read_grant(grant, anchor, services.clock())
    assert refused.value.name == "expired"


@pytest.mark.parametrize("part", ["body", "signature"])
def test_no_octet_of_a_grant_can_be_changed(services: Services, client: FlaskClient, token: str, part: str) -> None:
    _, grant, _, anchor = make_parts(services, client, token)
    octets = getattr(grant, part)
    for place in range(0, len(octets), max(1, len(octets) // 40)):
        changed = octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]
        with pytest.raises(RequestError):
            read_grant(msgspec.structs.replace(grant, **{part: changed}), anchor, services.clock())


def test_another_fleet_and_another_purpose_are_refused(services: Services, client: FlaskClient, token: str) -> None:
    _, grant, content, anchor = make_parts(services, client, token)
    with pytest.raises(RequestError, match="another fleet"):
        read_grant(grant, "ab" * 32, services.clock())
    with pytest.raises(RequestError, match="does not hold"):
        verify(GRANT, content, anchor)


@pytest.mark.parametrize("who", ["server", "service", "gateways", "intermediate"])
def test_only_a_signer_of_kits_signs_kits(services: Services, client: FlaskClient, token: str, who: str) -> None:
    """No server, no other program, and nobody of the gateways' hierarchy passes for one."""
    _, grant, _, anchor = make_parts(services, client, token)
    known, key = services.authority, make_key()
    now = known.services.certificate.not_valid_before_utc
    chain = known.services.chain
    if who == "server":
        leaf = issue_server(known.services, [SIGNER], key.public_key(), now)
    elif who == "service":
        leaf = issue_service(known.services, "fleet", key.public_key(), now)
    elif who == "gateways":
        leaf = issue_service(known.gateways, SIGNER, key.public_key(), now)
    else:
        leaf, key, chain = known.services.certificate, known.services.key, known.services.chain[1:]
    forged = sign(GRANT, grant.body, key, to_pem([leaf, *chain]).decode())
    with pytest.raises(RequestError) as refused:
        read_grant(forged, anchor, services.clock())
    assert refused.value.name == "signature"


def test_a_bundle_is_for_one_gateway_by_one_laptop_and_a_claim_of_its_kit(
    services: Services, client: FlaskClient, token: str
) -> None:
    code, grant, _, anchor = make_parts(services, client, token)
    now_ns, key = services.clock(), read_private_key(LAPTOP_KEY)
    bundle = sign_order(make_order(code, now_ns), grant, key)
    assert read_bundle(bundle, anchor, "", now_ns)[1].gateway == GATEWAY
    refusals = {
        "other-gateway": (bundle, "gw-yufu-0002"),
        "claim-unknown": (sign_order(make_order(make_code(), now_ns), grant, key), ""),
        "signature": (sign_order(make_order(code, now_ns), grant, read_private_key(make_private_key())), ""),
        "claim-mistyped": (sign_order(make_order("no code", now_ns), grant, key), ""),
    }
    for name, (given, gateway) in refusals.items():
        with pytest.raises(RequestError) as refused:
            read_bundle(given, anchor, gateway, now_ns)
        assert refused.value.name == name


def test_asked_again_after_a_lost_answer_it_is_the_same_kit(client: FlaskClient, token: str) -> None:
    asked = wanted(make_code())
    for _ in range(2):
        assert client.post("/api/kits", json=asked, headers=headers(token)).status_code == 200
    other = client.post("/api/kits", json=wanted(make_code()), headers=headers(token))
    assert other.status_code == 409
    assert [kit["id"] for kit in client.get("/api/kits", headers=headers(token)).json] == [KIT]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"sites": ["nowhere"]}, 404),
        ({"sites": []}, 422),
        ({"days": 31}, 422),
        ({"laptop_key": "none"}, 422),
        ({"kit": "../../etc"}, 422),
        ({"claims": [{"claim_sha256": "ab" * 32, "site": "elsewhere"}]}, 422),
    ],
)
def test_a_kit_that_cannot_be_is_refused_whole(
    services: Services, client: FlaskClient, token: str, more: dict[str, Any], status: int
) -> None:
    assert client.post("/api/kits", json=wanted(make_code(), **more), headers=headers(token)).status_code == status
    with services.database.reading() as session:
        assert session.scalars(sa.select(Claim)).all() == []


def test_a_book_sent_twice_counts_once(services: Services, client: FlaskClient, token: str) -> None:
    code, *_ = make_parts(services, client, token)
    for _ in range(2):
        assert put(client, token, entry(code), entry(code, 2, template="")).json["taken"] == [
            entry(code)["id"],
            entry(code, 2)["id"],
        ]
    with services.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(SiteEntry)) == 2
    shown = client.get(f"/api/kits/{KIT}/entries", headers=headers(token)).json
    assert [(line["by"], line["outcome"]) for line in shown] == [("李工", ""), ("李工", "")]


@pytest.mark.parametrize("comes_first", ["book", "gateway"])
def test_what_was_chosen_on_site_is_what_the_gateway_gets(
    services: Services, client: FlaskClient, token: str, comes_first: str
) -> None:
    code, *_ = make_parts(services, client, token)
    if comes_first == "gateway":
        assert isinstance(enrol(client, code), Issued)
    assert put(client, token, entry(code)).status_code == 200
    assert isinstance(enrol(client, code), Issued)
    with services.database.reading() as session:
        desired = configs.latest(session, GATEWAY)
        assert desired is not None
        assert desired.config["bus"][0]["url"] == "tcp://127.0.0.1:1502"


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"variables": {"port": "no"}}, "is no integer"),
        ({"template": "none"}, "there is no configuration template"),
        ({"site": "other"}, "is not in the kit"),
        ({"claim_sha256": "ab" * 32}, "is not of this kit"),
        ({"claim_sha256": 5}, "is not of this kit"),
        ({"lat": 100.0, "lon": 1.0}, "not on earth"),
    ],
)
def test_an_entry_that_the_fleet_cannot_act_on_is_kept_with_the_reason(
    client: FlaskClient, services: Services, token: str, detail: dict[str, Any], words: str
) -> None:
    code, *_ = make_parts(services, client, token)
    assert put(client, token, entry(code, **detail)).status_code == 200
    (line,) = client.get(f"/api/kits/{KIT}/entries", headers=headers(token)).json
    assert words in line["outcome"]


@pytest.mark.parametrize("detail", ['{"x": "\\ud800"}', '{"x": "a\\u0000b"}', '{"\\ud800": 1}'])
def test_a_detail_that_no_database_takes_is_refused(
    client: FlaskClient, services: Services, token: str, detail: str
) -> None:
    code, *_ = make_parts(services, client, token)
    body = json.dumps({"entries": [entry(code) | {"detail": "DETAIL"}]}).replace('"DETAIL"', detail)
    path, kind = f"/api/kits/{KIT}/entries", "application/json"
    assert client.post(path, data=body, headers=headers(token), content_type=kind).status_code == 422
    assert client.get(path, headers=headers(token)).json == []


def test_who_waits_under_the_name_of_a_gateway_in_use_gives_it_no_configuration(
    services: Services, client: FlaskClient, token: str
) -> None:
    assert isinstance(enrol(client, add_claim(services, GATEWAY)), Issued)
    code, *_ = make_parts(services, client, token)
    assert enrol(client, code, 2) == Waiting(reason="in-use", retry_s=15.0)
    assert put(client, token, entry(code)).status_code == 200
    with services.database.reading() as session:
        assert configs.latest(session, GATEWAY) is None


def test_an_unknown_kit_takes_no_book(client: FlaskClient, token: str) -> None:
    assert put(client, token).status_code == 404
