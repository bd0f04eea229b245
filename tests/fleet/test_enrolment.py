"""Gateways at the door: each bad input has its named answer, an entry in the journal, and no way in."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask.testing import FlaskClient

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.app import create_app
from fleet.audit import service as audit
from fleet.authority import offline, store
from fleet.bootstrap import Services, bootstrap
from fleet.certificates import service as certificates
from fleet.certificates.models import Certificate
from fleet.claims import journal
from fleet.claims import service as claims
from fleet.claims.models import Enrolment
from fleet.claims.service import Intended
from fleet.claims.views import EXTENSION, FAILURES_MOST, INSIDE_MOST, NOTED_MOST
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.sites import service as sites
from fleet.upkeep import Upkeep
from provisioning.authority import Purpose
from provisioning.codes import make_code
from provisioning.keys import fingerprint
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.identity import (
    GATEWAY,
    ROOT_PASSPHRASE,
    add_claim,
    ask,
    csr,
    enrol,
    found_authority,
    get_claim,
    key_number,
    leaf_of,
    renew,
)
from tests.provisioning.test_authority import request_of, swapped
from wire.claim import Issued, Refusal, Waiting

DAY_S = 86_400


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def client(services: Services) -> FlaskClient:
    found_authority(services)
    return create_app(services).test_client()


def events(services: Services) -> list[tuple[str, str]]:
    with services.database.reading() as session:
        return [(line.event, line.detail) for line in reversed(journal.newest(session))]


def turned_away(services: Services) -> list[tuple[str, str, str]]:
    """(address, gateway, what) of each line about the door in the audit log, oldest first."""
    with services.database.reading() as session:
        lines = [line for line in reversed(audit.list_lines(session, action="enrol")) if line.via == "enrol"]
        assert audit.check(session) == ()
    assert {(line.actor, line.outcome) for line in lines} <= {("", audit.REFUSED)}
    return [(line.address, line.target, line.detail) for line in lines]


def gateway_names(services: Services) -> list[str]:
    with services.database.reading() as session:
        return list(session.scalars(sa.select(Gateway.name)))


def test_a_claim_gets_a_gateway_in(services: Services, client: FlaskClient) -> None:
    with services.database.writing() as session:
        sites.add(session, "yufu", "御府")
    issued = enrol(client, add_claim(services, site="yufu"))
    leaf = leaf_of(issued)
    assert isinstance(issued, Issued)
    assert leaf.subject.rfc4514_string() == f"CN={GATEWAY}"
    assert leaf.public_key() == key_number(1).public_key()
    assert issued.gateway == GATEWAY
    assert issued.ca.encode() == client.get("/enrol/ca").data
    assert issued.broker == "mqtt://127.0.0.1:1883"
    assert "PUBLIC KEY" in issued.command_key
    with services.database.reading() as session:
        assert session.get_one(Gateway, GATEWAY).site_key == "yufu"
    assert [event for event, _ in events(services)] == ["claim-made", "claim-used", "issued"]


def test_the_same_claim_and_key_get_the_same_answer(services: Services, client: FlaskClient, clock: Clock) -> None:
    code = add_claim(services)
    first = leaf_of(enrol(client, code))
    clock.advance(3600)
    assert leaf_of(enrol(client, code)) == first
    clock.advance(11 * DAY_S)
    assert leaf_of(enrol(client, code)).serial_number != first.serial_number


def test_a_new_intermediate_is_told_to_whoever_asks_again(
    services: Services, client: FlaskClient, clock: Clock
) -> None:
    first = leaf_of(enrol(client, add_claim(services)))
    requests = [store.find(services.settings, purpose, "csr") for purpose in Purpose]
    roots, now = services.settings.data_dir / "roots", store.to_datetime(services.clock())
    for chain in offline.sign_requests(roots, ROOT_PASSPHRASE, requests, now):
        store.take_chain(services.settings, Purpose(chain.stem), [chain], services.clock())
    clock.advance(60)
    anew = bootstrap(services.settings, services.clock)
    restarted = create_app(anew).test_client()
    renewed = leaf_of(renew(restarted))
    assert renewed != first
    assert leaf_of(renew(restarted)) == renewed
    anew.close()


def test_the_same_claim_and_another_key_are_refused_and_alarmed(services: Services, client: FlaskClient) -> None:
    code = add_claim(services)
    first = leaf_of(enrol(client, code))
    refused = enrol(client, code, 2)
    assert isinstance(refused, Refusal)
    assert refused.name == "claim-used"
    assert refused.hint
    with services.database.reading() as session:
        alarm = session.get_one(Alarm, (GATEWAY, "fleet:claim-contested:1"))
        assert alarm.active
        assert certificates.newest_of_key(session, fingerprint(key_number(2).public_key())) is None
    assert ("refused", "claim-used") in events(services)
    assert "claim-contested" in dict(events(services))
    assert turned_away(services) == [("192.0.2.1", GATEWAY, '{"refusal":"claim-used"}')]
    assert leaf_of(enrol(client, code)) == first  # who was first goes on as before


def test_the_alarm_of_a_contested_claim_clears_an_hour_after_it_was_last_seen(
    services: Services, client: FlaskClient, clock: Clock
) -> None:
    code = add_claim(services)
    enrol(client, code)
    enrol(client, code, 2)
    for seconds, active in ((3000, True), (3700, False)):
        with services.database.writing() as session:
            own.clear_calm(session, clock.now_ns + seconds * 10**9)
            assert session.get_one(Alarm, (GATEWAY, "fleet:claim-contested:1")).active is active


def test_a_contested_claim_of_no_gateway_yet_is_an_alarm_of_the_fleet(services: Services, client: FlaskClient) -> None:
    code = add_claim(services, "")
    enrol(client, code)
    enrol(client, code, 2)
    with services.database.reading() as session:
        assert session.get_one(Alarm, (own.FLEET, "fleet:claim-contested:1")).active


def test_of_keys_that_race_for_a_claim_one_gets_in(services: Services, client: FlaskClient) -> None:
    code, app = add_claim(services), client.application
    answers: dict[int, Any] = {}
    together = threading.Barrier(8)

    def run(number: int) -> None:
        together.wait()
        answers[number] = enrol(app.test_client(), code, number % 4)

    for number in range(4):
        key_number(number)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = {number % 4 for number, answer in answers.items() if isinstance(answer, Issued)}
    assert len(winners) == 1
    assert len({leaf_of(answer).serial_number for answer in answers.values() if isinstance(answer, Issued)}) == 1
    assert {answer.name for answer in answers.values() if isinstance(answer, Refusal)} == {"claim-used"}
    with services.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Certificate)) == 1


@pytest.mark.parametrize(
    ("given", "name"),
    [
        pytest.param({"claim": make_code()}, "claim-unknown", id="guessed"),
        pytest.param({"claim": "1234-5678"}, "claim-mistyped", id="mistyped"),
        pytest.param({"claim": "x" * 200}, "request-unreadable", id="too long a claim"),
        pytest.param({"csr": ""}, "csr-unreadable", id="no request"),
        pytest.param({"csr": "x" * 9000}, "request-unreadable", id="too long a request"),
        pytest.param({"csr": swapped().decode()}, "csr-signature", id="swapped key"),
        pytest.param({"csr": request_of(rsa.generate_private_key(65537, 1024)).decode()}, "key-weak", id="weak RSA"),
        pytest.param({"csr": request_of(ec.generate_private_key(ec.SECP224R1())).decode()}, "key-weak", id="P-224"),
        pytest.param({"kind": "gift"}, "request-unreadable", id="unknown kind"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_leaves_the_claim_alone(
    services: Services, client: FlaskClient, given: dict[str, str], name: str
) -> None:
    code = add_claim(services)
    refused = ask(client, "/enrol", **{"claim": code, "csr": csr(), **given})
    assert isinstance(refused, Refusal)
    assert refused.name == name
    assert refused.hint
    assert get_claim(services, code).used_ns is None
    assert gateway_names(services) == []
    assert ("refused", name) in events(services)
    assert turned_away(services) == [("192.0.2.1", "", f'{{"refusal":"{name}"}}')]


def test_strangers_cannot_fill_the_audit_log(services: Services, client: FlaskClient) -> None:
    for number in range(NOTED_MOST + 10):
        enrol(client, make_code(), address=f"192.0.2.{number}")
    assert len(turned_away(services)) == NOTED_MOST


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"claim": 1}', b"[" * 5000, b'{"claim":"\\ud800"}'])
def test_a_body_that_is_no_request_is_refused_by_name(client: FlaskClient, body: bytes) -> None:
    for path in ("/enrol", "/enrol/renew"):
        answer = client.post(path, data=body)
        assert answer.status_code == 422
        assert msgspec.json.decode(answer.data, type=Refusal).name == "request-unreadable"


def test_a_body_that_is_too_large_is_not_read(client: FlaskClient) -> None:
    answer = client.post("/enrol", data=b"x" * 20_000)
    assert answer.status_code == 413
    assert msgspec.json.decode(answer.data, type=Refusal).name == "request-too-large"


def test_an_expired_claim_is_refused_and_one_used_in_time_goes_on(
    services: Services, client: FlaskClient, clock: Clock
) -> None:
    used, unused = add_claim(services, days=1), add_claim(services, "gw-yufu-0002", days=1)
    enrol(client, used)
    clock.advance(2 * DAY_S)
    refused = enrol(client, unused, 2)
    assert isinstance(refused, Refusal)
    assert refused.name == "claim-expired"
    assert turned_away(services) == [("192.0.2.1", "gw-yufu-0002", '{"refusal":"claim-expired"}')]
    assert isinstance(enrol(client, used), Issued)


def test_a_withdrawn_claim_is_refused(services: Services, client: FlaskClient) -> None:
    code = add_claim(services)
    with services.database.writing() as session:
        claims.withdraw(session, get_claim(services, code).id, "admin", services.clock())
    refused = enrol(client, code)
    assert isinstance(refused, Refusal)
    assert refused.name == "claim-expired"
    add_claim(services)  # its gateway is free for another


def test_refusals_make_an_address_wait_and_successes_do_not(services: Services, client: FlaskClient) -> None:
    codes = [add_claim(services, f"gw-yufu-{number:04}") for number in range(FAILURES_MOST + 5)]
    assert all(isinstance(enrol(client, code, number), Issued) for number, code in enumerate(codes))
    for _ in range(FAILURES_MOST):
        assert isinstance(enrol(client, make_code()), Refusal)
    slowed = enrol(client, codes[0], 0)
    assert isinstance(slowed, Refusal)
    assert slowed.name == "too-many-refusals"
    assert isinstance(enrol(client, codes[0], 0, address="192.0.2.2"), Issued)


def test_a_claim_without_a_gateway_waits_for_somebody_to_say_which(services: Services, client: FlaskClient) -> None:
    code = add_claim(services, "")
    for _ in range(3):
        assert enrol(client, code) == Waiting(reason="unassigned", retry_s=3.0)
    assert turned_away(services) == [("192.0.2.1", "", '{"waits":"unassigned"}')], "once, however often it asks"
    with services.database.writing() as session:
        (row,) = claims.waiting(session)
        assert row.address == "192.0.2.1"
        with pytest.raises(InvalidError, match="needs a name"):
            claims.approve(session, row.id, Intended(), "admin", services.clock())
        with pytest.raises(NotFoundError, match="no site"):
            claims.approve(session, row.id, Intended(gateway=GATEWAY, site="nowhere"), "admin", services.clock())
        claims.approve(session, row.id, Intended(gateway=GATEWAY, title="罐区"), "admin", services.clock())
        with pytest.raises(ConflictError, match="approved already"):
            claims.refuse(session, row.id, "admin", services.clock())
    assert leaf_of(enrol(client, code)).subject.rfc4514_string() == f"CN={GATEWAY}"
    with services.database.reading() as session:
        assert session.get_one(Gateway, GATEWAY).title == "罐区"
        assert session.scalar(sa.select(Enrolment.id)) is None


def test_one_who_waits_can_be_refused_for_good(services: Services, client: FlaskClient) -> None:
    code = add_claim(services, "")
    enrol(client, code)
    with services.database.writing() as session:
        claims.refuse(session, claims.waiting(session)[0].id, "admin", services.clock())
    for _ in range(2):
        refused = enrol(client, code)
        assert isinstance(refused, Refusal)
        assert refused.name == "refused"
    registered = add_claim(services)
    assert enrol(client, registered) == refused
    assert get_claim(services, registered).used_ns is None  # it is left for the gateway that it was made for
    assert gateway_names(services) == []


def test_a_name_in_use_is_given_to_nobody_else_by_approval(services: Services, client: FlaskClient) -> None:
    enrol(client, add_claim(services))
    enrol(client, add_claim(services, ""), 2)
    with services.database.writing() as session:
        row = claims.waiting(session)[0]
    with services.database.writing() as session, pytest.raises(ConflictError, match="in use"):
        claims.approve(session, row.id, Intended(gateway=GATEWAY), "admin", services.clock())


def test_a_live_identity_is_replaced_only_after_approval_and_then_revoked(
    services: Services, client: FlaskClient
) -> None:
    first = leaf_of(enrol(client, add_claim(services)))
    again = add_claim(services)
    assert enrol(client, again, 2) == Waiting(reason="in-use", retry_s=15.0)
    assert leaf_of(renew(client)) == first
    with services.database.writing() as session:
        claims.approve(session, claims.waiting(session)[0].id, Intended(), "admin", services.clock())
    assert isinstance(enrol(client, again, 2), Issued)
    refused = renew(client)
    assert isinstance(refused, Refusal)
    assert refused.name == "key-revoked"
    assert turned_away(services) == [
        ("192.0.2.1", GATEWAY, '{"waits":"in-use"}'),
        ("192.0.2.1", GATEWAY, '{"refusal":"key-revoked"}'),
    ]
    with services.database.reading() as session:
        assert f"{first.serial_number:x}" in [row.serial for row in certificates.list_of_gateway(session, GATEWAY)]


def test_a_local_code_waits_until_it_was_scanned_and_serves_its_own_key_alone(
    services: Services, client: FlaskClient
) -> None:
    code, key = make_code(), fingerprint(key_number(1).public_key())
    assert enrol(client, code, kind="local") == Waiting(reason="unscanned", retry_s=3.0)
    with services.database.writing() as session:
        intended = Intended(gateway=GATEWAY)
        scanned = claims.scan_local(session, code, key, intended, "technician", services.clock())
        assert claims.scan_local(session, code, key, intended, "technician", services.clock()).id == scanned.id
    thief = enrol(client, code, 2, kind="local")
    assert isinstance(thief, Refusal)
    assert thief.name == "claim-used"
    label = enrol(client, code)
    assert isinstance(label, Refusal)
    assert label.name == "claim-unknown"
    assert isinstance(enrol(client, code, kind="local"), Issued)


def test_a_label_does_not_pass_for_a_local_code(services: Services, client: FlaskClient) -> None:
    code = add_claim(services)
    assert enrol(client, code, kind="local") == Waiting(reason="unscanned", retry_s=3.0)
    assert get_claim(services, code).used_ns is None


@pytest.mark.parametrize("days", [10, 40, 200])
def test_a_key_renews_by_itself_long_after_its_certificate_expired(
    services: Services, client: FlaskClient, clock: Clock, days: int
) -> None:
    first = leaf_of(enrol(client, add_claim(services)))
    clock.advance(days * DAY_S)
    second = leaf_of(renew(client))
    assert second.serial_number != first.serial_number
    assert second.public_key() == first.public_key()
    assert leaf_of(renew(client)) == second  # an answer that was lost on its way comes again


def test_a_key_that_was_away_for_too_long_waits_for_approval(
    services: Services, client: FlaskClient, clock: Clock
) -> None:
    enrol(client, add_claim(services))
    clock.advance(211 * DAY_S)
    assert renew(client) == Waiting(reason="lapsed", retry_s=15.0)
    with services.database.writing() as session:
        claims.approve(session, claims.waiting(session)[0].id, Intended(), "admin", services.clock())
    assert isinstance(renew(client), Issued)
    clock.advance(211 * DAY_S)
    assert renew(client) == Waiting(reason="lapsed", retry_s=15.0)  # once is not for ever
    assert turned_away(services) == [("192.0.2.1", GATEWAY, '{"waits":"lapsed"}')] * 2


@pytest.mark.parametrize("by", ["a stranger's key", "another gateway's key"])
def test_nobody_renews_for_another(services: Services, client: FlaskClient, by: str) -> None:
    enrol(client, add_claim(services))
    if by == "another gateway's key":
        enrol(client, add_claim(services, "gw-yufu-0002"), 2)
    refused = renew(client, 2)
    assert isinstance(refused, Refusal)
    assert refused.name == "key-unknown"
    assert turned_away(services) == [("192.0.2.1", "", '{"refusal":"key-unknown"}')]


def test_a_revoked_key_gets_nothing_more_by_renewal_or_claim(services: Services, client: FlaskClient) -> None:
    code = add_claim(services)
    enrol(client, code)
    with services.database.writing() as session:
        assert certificates.revoke(session, GATEWAY, "stolen", "admin", services.clock()) == 1
        assert certificates.revoke(session, GATEWAY, "stolen", "admin", services.clock()) == 0
    another = add_claim(services)
    for refused in (renew(client), enrol(client, code), enrol(client, another)):
        assert isinstance(refused, Refusal)
        assert refused.name == "key-revoked"
    assert turned_away(services) == [("192.0.2.1", GATEWAY, '{"refusal":"key-revoked"}')] * 3
    assert get_claim(services, another).used_ns is None
    assert isinstance(enrol(client, add_claim(services, "gw-yufu-0003"), 3), Issued)


@pytest.mark.parametrize("behind_s", [365 * DAY_S, START_NS / 1e9], ids=["a year behind", "1970"])
@pytest.mark.parametrize("was_right", [False, True], ids=["from its start", "all at once"])
def test_a_fleet_whose_clock_is_far_behind_gives_no_certificate_and_spends_no_claim(
    services: Services, client: FlaskClient, clock: Clock, behind_s: float, was_right: bool
) -> None:
    code = add_claim(services)
    if was_right:
        assert isinstance(enrol(client, add_claim(services, "gw-yufu-0002"), 2), Issued)
    clock.advance(-behind_s)
    refused = enrol(client, code)
    assert isinstance(refused, Refusal)
    assert refused.name == "no-authority"
    assert "is the clock right?" in refused.hint
    assert get_claim(services, code).used_ns is None
    clock.advance(behind_s)
    assert isinstance(enrol(client, code), Issued)


def test_more_at_once_than_there_is_room_for_are_asked_to_come_again(services: Services, client: FlaskClient) -> None:
    code, keeper = add_claim(services), client.application.extensions[EXTENSION]
    for _ in range(INSIDE_MOST):
        assert keeper.room.acquire(blocking=False)
    busy = enrol(client, code)
    assert isinstance(busy, Refusal)
    assert busy.name == "busy"
    for _ in range(INSIDE_MOST):
        keeper.room.release()
    assert isinstance(enrol(client, code), Issued)


def test_a_database_that_does_not_answer_is_said_in_json(services: Services, client: FlaskClient) -> None:
    code = add_claim(services)
    with services.database.writing() as session:
        session.execute(sa.text("DROP TABLE enrolment_event"))
    busy = enrol(client, code)
    assert isinstance(busy, Refusal)
    assert busy.name == "busy"


async def test_upkeep_makes_the_list_of_revoked_certificates_anew_every_hour(
    services: Services, client: FlaskClient, clock: Clock
) -> None:
    leaf, path = leaf_of(enrol(client, add_claim(services))), services.settings.data_dir / "ca/gateways.crl"
    upkeep = Upkeep(services)
    listed = []
    for _ in range(2):
        await upkeep.tend()
        listed.append(x509.load_pem_x509_crl(path.read_bytes()))
        with services.database.writing() as session:
            certificates.revoke(session, GATEWAY, "stolen", "admin", services.clock())
        clock.advance(3600)
    assert [crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is None for crl in listed] == [True, False]


async def test_upkeep_without_an_authority_or_with_a_broken_one_goes_on(services: Services) -> None:
    await Upkeep(services).tend()
    assert not (services.settings.data_dir / "ca").exists()
    found_authority(services)
    (services.settings.data_dir / "ca/passphrase").write_text("another")
    await Upkeep(services).tend()
    assert not (services.settings.data_dir / "ca/gateways.crl").exists()


def test_revoking_ends_the_token_of_an_earlier_release_too(services: Services, client: FlaskClient) -> None:
    with services.database.writing() as session:
        _, token = gateways.register(session, GATEWAY, "", None, services.clock())
    enrol(client, add_claim(services))
    with services.database.writing() as session:
        assert gateways.check_token(session, GATEWAY, token)  # enrolling leaves it: the gateway may still use it
        certificates.revoke(session, GATEWAY, "stolen", "admin", services.clock())
        assert not gateways.check_token(session, GATEWAY, token)


def test_without_an_authority_the_door_says_so(services: Services) -> None:
    client = create_app(services).test_client()
    refused = enrol(client, add_claim(services))
    assert isinstance(refused, Refusal)
    assert refused.name == "no-authority"
    assert "ca init" in refused.hint
    assert client.get("/enrol/ca").status_code == 503


def test_a_claim_for_a_gateway_that_speaks_by_its_token_waits_for_approval(
    services: Services, client: FlaskClient
) -> None:
    """A technician who mistypes a name must not take over a gateway of an earlier release."""
    with services.database.writing() as session:
        gateways.register(session, GATEWAY, "", None, services.clock())
        gateways.get(session, GATEWAY).last_seen_ns = services.clock()
    code = add_claim(services)
    assert enrol(client, code) == Waiting(reason="in-use", retry_s=15.0)
    with services.database.writing() as session:
        (row,) = claims.waiting(session)
        claims.approve(session, row.id, Intended(), "admin", services.clock())
        before = gateways.get(session, GATEWAY).token_hash
    assert isinstance(enrol(client, code), Issued)
    with services.database.reading() as session:
        assert gateways.get(session, GATEWAY).token_hash != before, "whoever has the token is out"
