"""Who may do what: every route, every role, own and foreign sites; and two enterprises that must not see each other."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_login.utils import _create_identifier
from prometheus_client import CollectorRegistry

from fleet.accounts import scope, tokens, totp
from fleet.accounts import service as accounts
from fleet.accounts.authorization import GRANTS, ROUTES, Permission, allows
from fleet.accounts.models import Role
from fleet.accounts.scope import BY_GATEWAY, BY_STREAM, BY_TAG, PUBLIC
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.db import Base, load_models
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway, Tag
from fleet.live import LiveValue
from fleet.metrics import IngestMetrics
from fleet.readings.models import Record
from fleet.rollouts.models import UpdateEvent
from fleet.sites import service as sites
from fleet.sites.models import ExpectedDevice, Site
from tests.fleet import edge
from tests.fleet.conftest import Clock
from tests.fleet.identity import found_authority
from wire.record import Lane, Layout, layout_id
from wire.topics import Up

PASSWORD = "correct horse"
OWN, FOREIGN = "gw-own-0001", "gw-foreign-0001"
SITES = {OWN: "own-plant", FOREIGN: "foreign-plant"}
SECRETS = {OWN: "quartz", FOREIGN: "zebra"}
"""What each site calls its things."""
OWNERS = {"mine": OWN, "theirs": FOREIGN}
CLOSED = {
    "Account", "AccountSite", "ApiToken", "RecoveryCode", "AuditLine", "AuditHead", "GatewayCommand", "DesiredConfig",
    "ConfigTemplate",
    "MessageRow", "NoticeRow", "NotifyCursor", "Watch", "Quarantined", "Destination", "RelayCursor",
    "Artifact", "DdiClient", "DiagnosisPart", "Rollout", "Quake",
    "Certificate", "Claim", "Enrolment", "EnrolmentEvent", "Kit", "SiteEntry", "WaveCounter",
    "ChainRule", "ChainQuake", "ChainFiring", "ChainAction", "ChainInspection",
}  # fmt: skip
"""Tables that no enterprise reads."""


def fill(services: Services, name: str) -> None:
    """Give a gateway of its site readings, an alarm, a loss and something that could not be read."""
    secret = SECRETS[name]
    layout = Layout(f"{secret}:fast", (f"{secret}.level", f"{secret}.temperature"))
    with services.database.writing() as session:
        sites.add(session, SITES[name], f"site {secret}", "chemical", None, None)
        gateways.register(session, name, f"gateway {secret}", SITES[name], services.clock())
    committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    told = edge.reported(
        site=SITES[name],
        title=f"title {secret}",
        tags=tuple(
            msgspec.structs.replace(tag, name=tag.name.replace("tank-01", secret)) for tag in edge.reported().tags
        ),
    )
    committer.commit([edge.up(Up.REPORTED, told, gateway=name)])
    (reply,) = committer.commit([edge.up(Up.HELLO, edge.hello(gateway=name), gateway=name)])
    opened = reply.message.session  # type: ignore[union-attr]
    alarm = msgspec.structs.replace(edge.alarm(2, "raised"), alarm=f"{secret}.level:high", tag=f"{secret}.level")
    batches = (
        edge.batch(opened, 1, edge.scan(1, 50.0, 20.5, layout=layout), b"garbled", layouts={layout_id(layout): layout}),
        edge.batch(opened, 1, alarm, lane=Lane.ALARMS),
    )
    for batch in batches:
        committer.commit([edge.up(Up.BATCH, batch, gateway=name)])
    services.live.put_values(name, {f"{secret}.level": LiveValue(50.0, 0, services.clock())})


@pytest.fixture
def app(services: Services, clock: Clock) -> Flask:
    for name in (OWN, FOREIGN):
        fill(services, name)
    found_authority(services)
    clock.advance(10)
    with services.database.writing() as session:
        for role in Role:
            accounts.add(session, role.value, PASSWORD if role is Role.OPERATOR else None, role, services.clock())
        for name, gateway in OWNERS.items():
            accounts.add(session, name, None, Role.ENTERPRISE, services.clock())
            accounts.set_sites(session, name, [SITES[gateway]])
        accounts.set_sites(session, "enterprise", [SITES[OWN]])
        accounts.add(session, "siteless", None, Role.ENTERPRISE, services.clock())
    return create_app(services)


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """(endpoint, method, path) of every route and method, about the gateway ``{gateway}``."""
    for rule in app.url_map.iter_rules():
        path = (
            rule.rule.replace("<name>", "{gateway}")
            .replace("<key>", "{site}")
            .replace("<tag>", "x")
            .replace("<int:number>", "1")
        )
        path = path.replace("<path:filename>", "app.css").replace("<command_id>", "x").replace("<account>", "nobody")
        path = path.replace("<key>", "x")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, path


def sign_in(app: Flask, name: str) -> Any:
    """A browser in which an account is signed in, without the price of a password."""
    client = app.test_client()
    with app.extensions["fengsui-services"].database.reading() as session:
        identity = accounts.identify(accounts.get(session, name))
    with app.test_request_context("/", environ_base=client.environ_base), client.session_transaction() as kept:
        kept.update(_user_id=identity.get_id(), _fresh=True, _id=_create_identifier())
    return client


def test_every_route_is_declared_and_every_declaration_has_a_route(app: Flask) -> None:
    found = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert found - set(ROUTES) == set(), "declare what these ask for in fleet.accounts.authorization.ROUTES"
    assert set(ROUTES) - found == set()


def test_a_route_that_nobody_declared_is_shut_to_administrators() -> None:
    assert not allows(GRANTS[Role.ADMINISTRATOR], "console.forgotten")


@pytest.mark.parametrize("number", [2**63, 2**64, 10**300])
def test_a_number_that_no_column_holds_is_nothing_anywhere(app: Flask, number: int) -> None:
    client = sign_in(app, Role.ADMINISTRATOR.value)
    app.config["WTF_CSRF_METHODS"] = set()
    numbered = [
        (method, rule.rule.replace("<int:number>", str(number)).replace("<name>", OWN))
        for rule in app.url_map.iter_rules()
        if "<int:number>" in rule.rule
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]
    assert len(numbered) >= 12
    for method, path in numbered:
        assert client.open(path, method=method).status_code == 404, path


@pytest.mark.parametrize("role", list(Role))
def test_every_route_by_role_and_site(app: Flask, role: Role) -> None:
    """Refused exactly where the table says so; and an enterprise finds nothing of a foreign site anywhere."""
    client = sign_in(app, role.value)
    app.config["WTF_CSRF_METHODS"] = set()  # what the test of strangers holds
    tried = 0
    for endpoint, method, path in routes(app):
        if endpoint == "console.sign_out" or endpoint.endswith("events"):
            continue
        wanted = ROUTES[endpoint]
        for gateway in (OWN, FOREIGN, "gw-nobody-0001"):
            where = path.format(gateway=gateway, site=SITES.get(gateway, "nowhere"))
            with client.open(where, method=method) as answer:
                status = answer.status_code
            tried += 1
            if wanted not in GRANTS[role] and endpoint != "show_metrics":
                assert status == 403, (role, method, where)
            elif wanted is not Permission.OPEN and role is Role.ENTERPRISE and gateway != OWN and "{" in path:
                assert status == 404, (role, method, where)
            else:
                assert status < 500, (role, method, where)
                assert status not in {401, 403}, (role, method, where)
    assert tried > 100


def test_every_route_wants_an_account(app: Flask) -> None:
    client = app.test_client()
    for endpoint, method, path in routes(app):
        if ROUTES[endpoint] is Permission.OPEN or endpoint == "show_metrics":
            continue
        status = client.open(path.format(gateway=OWN, site=SITES[OWN]), method=method).status_code
        # A form without our token is refused before anything else is asked.
        assert status in ({400} if method == "POST" and endpoint.startswith("console.") else {302, 401}), path


@pytest.mark.parametrize(("name", "own", "foreign"), [("mine", OWN, FOREIGN), ("theirs", FOREIGN, OWN)])
def test_two_enterprises_see_nothing_of_each_other(app: Flask, name: str, own: str, foreign: str) -> None:
    client = sign_in(app, name)
    seen = 0
    for endpoint, method, path in routes(app):
        if method != "GET" or ROUTES[endpoint] is not Permission.READ or endpoint.endswith("events"):
            continue
        for query in ("", f"?gateway={foreign}", "?state=journal&all=true"):
            answer = client.get(path.format(gateway=own, site=SITES[own]) + query)
            assert SECRETS[foreign] not in answer.text, (path, query)
            assert SITES[foreign] not in answer.text, (path, query)
            assert foreign in query or foreign not in answer.text, (path, query)  # a page repeats what was asked
            seen += SECRETS[own] in answer.text
    assert seen > 20


def test_counts_are_of_the_own_site_alone(app: Flask) -> None:
    asked = {
        "/api/gateways": "gateways", "/api/alarms": "alarms", "/api/alarms/journal": "events",
        "/api/reconciliation": "hours",
    }  # fmt: skip
    everything, mine, nothing = (sign_in(app, name) for name in ("operator", "mine", "siteless"))
    for path, key in asked.items():
        numbers = [len(client.get(path).json[key]) for client in (everything, mine, nothing)]
        assert numbers[0] == 2 * numbers[1] > 0 == numbers[2], (path, numbers)
    raised = [client.get("/api/alarms/statistics").json["raised"] for client in (everything, mine, nothing)]
    assert raised[0] == 2 * raised[1] > 0 == raised[2]
    for path, mark in {
        "/api/alarms/journal.csv": "Z,",
        "/alarms/journal.csv": "Z,",
        "/api/cap/feed": "<entry>",
    }.items():
        numbers = [client.get(path).text.count(mark) for client in (everything, mine, nothing)]
        assert numbers[0] == 2 * numbers[1] > 0 == numbers[2], (path, numbers)


def test_no_enterprise_opens_an_alert_of_another_by_its_number(app: Flask) -> None:
    operator, mine, theirs = (sign_in(app, name) for name in ("operator", "mine", "theirs"))
    for event in operator.get("/api/alarms/journal").json["events"]:
        path = f"/api/cap/alerts/{event['id']}"
        owner, other = (mine, theirs) if event["gateway"] == OWN else (theirs, mine)
        assert owner.get(path).status_code == operator.get(path).status_code == 200
        assert other.get(path).status_code == 404


def test_every_table_is_scoped_or_shut() -> None:
    load_models()
    scoped = {
        table.__name__
        for table in (*BY_GATEWAY, *BY_TAG, *BY_STREAM, *PUBLIC, Gateway, Site, ExpectedDevice, UpdateEvent)
    }
    assert {mapper.class_.__name__ for mapper in Base.registry.mappers} == scoped | CLOSED
    assert not scoped & CLOSED


def test_a_scope_holds_in_subqueries_by_key_and_in_aliases(app: Flask, services: Services) -> None:
    _ = app
    with services.database.reading() as session:
        account_id = accounts.get(session, "mine").id
        foreign = session.scalars(sa.select(Tag).where(Tag.gateway == FOREIGN)).all()
    with scope.reading(services.database, account_id) as session:
        assert session.get(Gateway, FOREIGN) is None
        assert session.get(Gateway, OWN) is not None
        assert session.get(Tag, foreign[0].id) is None
        twin = sa.orm.aliased(Gateway)
        assert session.scalars(sa.select(twin.name)).all() == [OWN]
        newest = sa.select(sa.func.count(Record.id)).scalar_subquery()
        inner = session.scalar(sa.select(newest).select_from(Gateway))
        assert inner == session.scalar(sa.select(sa.func.count()).select_from(Record)) == 2
        assert session.scalars(sa.select(Gateway.name).union_all(sa.select(Gateway.name))).all() == [OWN, OWN]
        assert session.scalars(sa.select(accounts.Account)).all() == []


@pytest.mark.parametrize("change", ["role", "sites", "password", "shut", "factor"])
def test_a_session_ends_when_rights_change(app: Flask, services: Services, change: str) -> None:
    client = sign_in(app, "mine")
    assert client.get("/api/gateways").status_code == 200
    changes = {
        "role": lambda session: accounts.set_role(session, "mine", Role.AUDITOR),
        "sites": lambda session: accounts.set_sites(session, "mine", []),
        "password": lambda session: accounts.set_password(session, "mine", "another horse"),
        "shut": lambda session: accounts.set_enabled(session, "mine", False),
        "factor": lambda session: totp.enrol(session, "mine"),
    }
    with services.database.writing() as session:
        changes[change](session)
    assert client.get("/api/gateways").status_code == 401


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_does_what_its_scopes_and_its_account_allow_until_it_ends(
    app: Flask, services: Services, clock: Clock
) -> None:
    with services.database.writing() as session:
        reads = tokens.make(session, "operator", "read", ["read"], 1, clock())
        foreign = tokens.make(session, "mine", "wide", ["read", "fleet", "operate"], 1, clock())
    client = app.test_client()
    assert client.get("/api/gateways", headers=bearer(reads)).status_code == 200
    assert client.get("/api/relay", headers=bearer(reads)).status_code == 403, "not in its scopes"
    assert client.get("/gateways", headers=bearer(reads)).status_code == 302, "no page"
    assert client.get("/api/relay", headers=bearer(foreign)).status_code == 403, "not in its account's role"
    assert len(client.get("/api/gateways", headers=bearer(foreign)).json["gateways"]) == 1
    clock.advance(86_400)
    assert client.get("/api/gateways", headers=bearer(reads)).status_code == 401
    with services.database.reading() as session:
        kept = [row for table in Base.metadata.sorted_tables for row in session.execute(sa.select(table)).all()]
    assert reads not in str(kept)


def test_a_password_alone_does_not_go_round_the_second_factor(app: Flask, services: Services) -> None:
    basic = {"Authorization": "Basic " + b64encode(f"operator:{PASSWORD}".encode()).decode()}
    assert app.test_client().get("/api/gateways", headers=basic).status_code == 200
    with services.database.writing() as session:
        totp.enrol(session, "operator")
    assert app.test_client().get("/api/gateways", headers=basic).status_code == 401


def test_metrics_are_for_this_machine_or_an_account(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 401
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
    assert sign_in(app, "mine").get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code in {401, 403}
