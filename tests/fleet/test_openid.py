"""Signing in by an OpenID provider that we did not write (oidc-provider-mock), and tokens that must be refused."""

from __future__ import annotations

import re
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from fleet.accounts import federation
from fleet.accounts import service as accounts
from fleet.accounts.idtoken import Claims, OpenIdError, Person, find_words, read_person, verify
from fleet.accounts.models import Role
from fleet.accounts.openid import Provider
from fleet.app import create_app
from fleet.audit import service as audit
from fleet.bootstrap import Services, bootstrap
from fleet.cli import main
from fleet.errors import ConflictError, SetupError
from fleet.migrations import revisions
from fleet.settings import Settings, load, save
from fleet.sites import service as sites
from tests.fleet.provider import Client, providing, register
from tests.servers import free_port

ISSUER, CLIENT, NONCE, NOW_S = "https://sso.example", "fengsui", "n-1", 1_790_000_000
ROLES = {"fs-admin": Role.ADMINISTRATOR, "fs-watch": Role.OPERATOR, "fs-firm": Role.ENTERPRISE}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with providing() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def registered(issuer: str) -> Client:
    return register(issuer, "http://localhost")


MakeServices = Callable[..., Services]


@pytest.fixture
def make_services(tmp_path: Path) -> Iterator[MakeServices]:
    """A fleet with the provider set, on the real clock: the provider's tokens tell it."""
    made: list[Services] = []

    def make(issuer: str, client: Client | None = None, clock: Callable[[], int] = time.time_ns) -> Services:
        client = client or Client(CLIENT, "a secret")
        (tmp_path / "oidc.secret").write_text(client.client_secret + "\n")
        settings = Settings(
            data_dir=tmp_path, broker_password="service-secret", secret_key="signing-key", oidc_issuer=issuer,
            oidc_client_id=client.client_id, oidc_roles=ROLES, oidc_sites_claim="sites", oidc_name="区统一认证",
        )  # fmt: skip
        services = bootstrap(settings, clock)
        revisions.upgrade(services.database.engine)
        made.append(services)
        with services.database.writing() as session:
            if accounts.is_empty(session):
                accounts.add(session, "admin", "correct horse", Role.ADMINISTRATOR, services.clock())
                sites.add(session, "yufu-chem", "鱼复化工")
        return services

    yield make
    for services in made:
        services.close()


def tell_provider(issuer: str, sub: str, **claims: Any) -> None:
    httpx.put(f"{issuer}/users/{sub}", json=claims).raise_for_status()


def go(client: FlaskClient, path: str = "/sign-in/provider") -> str:
    answer = client.get(path)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def come_back(client: FlaskClient, address: str, sub: str) -> Any:
    """Sign in at the provider as a browser does, and follow it back."""
    answer = httpx.post(address, data={"sub": sub})
    assert answer.status_code == 302, answer.text
    return client.get(answer.headers["Location"])


def sign_in(client: FlaskClient, sub: str) -> Any:
    return come_back(client, go(client), sub)


def find_trouble(answer: Any) -> str:
    found = re.search(r'id="trouble">([^<]+)<', answer.text)
    return found[1] if found else ""


def list_lines(services: Services) -> list[tuple[str, str, str, str]]:
    with services.database.reading() as session:
        return [(line.actor, line.via, line.action, line.outcome) for line in reversed(audit.list_lines(session))]


@pytest.mark.peer
def test_the_provider_signs_somebody_in_whom_it_gives_a_role(
    issuer: str, registered: Client, make_services: MakeServices
) -> None:
    services = make_services(issuer, registered)
    client = create_app(services).test_client()
    tell_provider(issuer, "s-1", preferred_username="li", groups=["staff", "fs-watch"])
    address = go(client, "/sign-in/provider?next=/gateways")
    asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://localhost/sign-in/provider/return"
    with client.session_transaction() as kept:
        assert create_s256_code_challenge(kept["away"]["verifier"]) == asked["code_challenge"]
    assert min(len(asked[key]) for key in ("state", "nonce", "code_challenge")) >= 40
    answer = come_back(client, address, "s-1")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/gateways")
    assert client.get("/gateways").status_code == 200
    assert client.get("/users").status_code == 403
    with services.database.reading() as session:
        account = accounts.get(session, "li")
        assert (account.role, account.subject, account.password_hash) == ("operator", f"{issuer} s-1", "")
    assert list_lines(services)[:2] == [("li", "openid", "user.add", "done"), ("li", "openid", "sign-in", "done")]


@pytest.mark.peer
def test_rights_follow_the_token_and_a_role_taken_away_ends_sessions(
    issuer: str, registered: Client, make_services: MakeServices
) -> None:
    services = make_services(issuer, registered)
    app = create_app(services)
    first, second = app.test_client(), app.test_client()
    tell_provider(issuer, "s-2", preferred_username="wang", groups=["fs-watch"])
    assert sign_in(first, "s-2").status_code == 302
    assert sign_in(second, "s-2").status_code == 302
    assert first.get("/relay").status_code == 200, "the same rights end no session"
    tell_provider(issuer, "s-2", preferred_username="wang", groups="fs-firm", sites=["yufu-chem", "elsewhere"])
    assert sign_in(app.test_client(), "s-2").status_code == 302
    assert first.get("/gateways").headers["Location"].startswith("/sign-in")
    with services.database.reading() as session:
        account = accounts.get(session, "wang")
        assert (account.role, accounts.list_sites(session)[account.id]) == ("enterprise", ("yufu-chem",))
    again = app.test_client()
    assert sign_in(again, "s-2").status_code == 302
    tell_provider(issuer, "s-2", preferred_username="wang", groups=[])
    refused = sign_in(second, "s-2")
    assert (refused.status_code, "oidc_roles" in find_trouble(refused)) == (403, True)
    assert again.get("/gateways").headers["Location"].startswith("/sign-in")
    assert list_lines(services)[-2:] == [("wang", "openid", "user.shut", "done"), ("", "openid", "sign-in", "failed")]


@pytest.mark.peer
def test_who_has_no_role_gets_no_account(issuer: str, registered: Client, make_services: MakeServices) -> None:
    services = make_services(issuer, registered)
    tell_provider(issuer, "s-3", preferred_username="zhao", groups=["staff"])
    assert sign_in(create_app(services).test_client(), "s-3").status_code == 403
    with services.database.reading() as session:
        assert not accounts.exists(session, "zhao")


@pytest.mark.peer
def test_a_local_account_is_not_taken_over_until_it_is_linked(
    issuer: str, registered: Client, make_services: MakeServices, tmp_path: Path
) -> None:
    services = make_services(issuer, registered)
    save(services.settings)
    client = create_app(services).test_client()
    tell_provider(issuer, "s-4", preferred_username="admin", groups=["fs-admin"])
    assert "user subject" in find_trouble(sign_in(client, "s-4"))
    assert main(["user", "subject", "admin", f"{issuer} s-4", "--data", str(tmp_path)]) == 0
    assert sign_in(client, "s-4").status_code == 302
    assert client.get("/users").status_code == 200


@pytest.mark.peer
def test_a_return_that_this_browser_did_not_begin_is_refused_and_a_code_works_once(
    issuer: str, registered: Client, make_services: MakeServices
) -> None:
    app = create_app(make_services(issuer, registered))
    tell_provider(issuer, "s-5", preferred_username="qian", groups=["fs-watch"])
    victim, thief = app.test_client(), app.test_client()
    back = httpx.post(go(thief), data={"sub": "s-5"}).headers["Location"]
    assert find_trouble(victim.get(back))
    go(victim)
    assert find_trouble(victim.get(back)), "another sign-in's state"
    assert thief.get(back).status_code == 302
    thief.post("/sign-out")
    assert app.test_client().get(back).status_code == 403


@pytest.mark.peer
def test_a_clock_that_is_off_and_a_wrong_secret_are_named(
    issuer: str, registered: Client, make_services: MakeServices
) -> None:
    tell_provider(issuer, "s-6", preferred_username="sun", groups=["fs-watch"])
    late = make_services(issuer, registered, lambda: time.time_ns() + 2 * 3600 * 10**9)
    assert "时钟" in find_trouble(sign_in(create_app(late).test_client(), "s-6"))
    wrong = make_services(issuer, Client(registered.client_id, "another"))
    assert "密钥" in find_trouble(sign_in(create_app(wrong).test_client(), "s-6"))
    early = make_services(issuer, registered, lambda: time.time_ns() - 2 * 3600 * 10**9)
    assert "时钟" in find_trouble(sign_in(create_app(early).test_client(), "s-6"))


@pytest.mark.peer
def test_who_denies_at_the_provider_comes_back_to_the_page(
    issuer: str, registered: Client, make_services: MakeServices
) -> None:
    client = create_app(make_services(issuer, registered)).test_client()
    state = parse_qs(urlsplit(go(client)).query)["state"][0]
    answer = client.get(f"/sign-in/provider/return?error=access_denied&state={state}")
    assert (answer.status_code, bool(find_trouble(answer))) == (403, True)


def test_a_provider_out_of_reach_leaves_passwords_working(make_services: MakeServices) -> None:
    client = create_app(make_services(f"http://localhost:{free_port()}")).test_client()
    page = client.get("/sign-in").text
    assert "区统一认证" in page
    answer = client.get("/sign-in/provider")
    assert (answer.status_code, bool(find_trouble(answer))) == (502, True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    form = {"csrf_token": token[1], "name": "admin", "password": "correct horse"}
    assert client.post("/sign-in", data=form).status_code == 302


def test_without_a_provider_there_is_no_button_and_no_route(services: Services) -> None:
    client = create_app(services).test_client()
    assert 'id="provider"' not in client.get("/sign-in").text
    assert client.get("/sign-in/provider").status_code == 404
    assert client.get("/sign-in/provider/return?code=1&state=2").status_code == 404


KEY = RSAKey.generate_key(2048, {"kid": "k1"})
KEYS = KeySet([KEY])
GOOD = {"iss": ISSUER, "sub": "s", "aud": CLIENT, "nonce": NONCE, "iat": NOW_S - 5, "exp": NOW_S + 300}


def sign(key: Any = KEY, alg: str = "RS256", **changed: Any) -> str:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": "k1"}, claims, key, algorithms=[alg])


def sign_nothing() -> str:
    """A token of the algorithm "none"."""
    header, claims = (
        urlsafe_b64encode(msgspec.json.encode(part)).decode().rstrip("=") for part in ({"alg": "none"}, GOOD)
    )
    return f"{header}.{claims}."


def check(text: str) -> dict[str, Any]:
    return verify(text, KEYS, ISSUER, CLIENT, NONCE, NOW_S)


def test_a_good_token_gives_its_claims() -> None:
    assert check(sign())["sub"] == "s"
    assert check(sign(exp=NOW_S - 60))["sub"] == "s", "within what clocks may be apart"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (sign(aud="another"), "audience"),
        (sign(aud=None), "audience"),
        (sign(aud=[CLIENT, "another"], azp="another"), "audience"),
        (sign(iss="https://evil.example"), "issuer"),
        (sign(exp=NOW_S - 600), "clock"),
        (sign(exp=None), "clock"),
        (sign(iat=NOW_S + 600), "clock"),
        (sign(nbf=NOW_S + 600), "clock"),
        (sign(nonce="n-2"), "nonce"),
        (sign(nonce=None), "nonce"),
        (sign(sub=None), "token"),
        (sign(RSAKey.generate_key(2048)), "token"),
        (sign(OctKey.import_key("0" * 32), "HS256"), "token"),
        (sign_nothing(), "token"),
        ("no token", "token"),
        ("", "token"),
    ],
)
def test_a_token_that_is_not_for_us_is_refused(text: str, reason: str) -> None:
    with pytest.raises(OpenIdError) as refused:
        check(text)
    assert refused.value.reason == reason


class Scripted:
    """A provider that says what a test wants, and keeps what it was asked at the token endpoint."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.issuer = self.called = self.token = ""

    def __call__(self, environ: Any, start: Any) -> Any:
        request = Request(environ)
        documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.called, "authorization_endpoint": f"{self.issuer}/authorize?realm=city",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            },
            "/keys": KEYS.as_dict(private=False),
            "/token": {"id_token": self.token},
        }  # fmt: skip
        if request.path == "/token":
            request.form.to_dict()  # read while the connection is there
            self.asked.append(request)
        return Response(msgspec.json.encode(documents[request.path]), mimetype="application/json")(environ, start)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    provider = Scripted()
    server = make_server("127.0.0.1", 0, provider, threaded=True)
    provider.issuer = provider.called = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield provider
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def test_the_token_is_asked_for_with_the_verifier_and_the_secret_encoded(scripted: Scripted) -> None:
    provider = Provider(scripted.issuer, "a:b", "s/ü")
    address, journey = provider.begin("https://c.example/back", "/now", NOW_S)
    assert "realm=city&" in address
    scripted.token = sign(iss=scripted.issuer, aud="a:b", nonce=journey.nonce)
    assert provider.finish(journey, "c-1", "https://c.example/back", NOW_S)["sub"] == "s"
    request = scripted.asked[0]
    assert request.form.to_dict() == {
        "grant_type": "authorization_code", "code": "c-1", "redirect_uri": "https://c.example/back",
        "code_verifier": journey.verifier,
    }  # fmt: skip
    assert request.authorization is not None
    assert (request.authorization.username, request.authorization.password) == ("a%3Ab", "s%2F%C3%BC")
    scripted.token = sign(iss=scripted.issuer, aud="another", nonce=journey.nonce)
    with pytest.raises(OpenIdError, match="aud"):
        provider.finish(journey, "c-2", "https://c.example/back", NOW_S)


def test_a_provider_of_another_name_is_refused(scripted: Scripted) -> None:
    scripted.called = "https://evil.example"
    with pytest.raises(OpenIdError, match="evil") as refused:
        Provider(scripted.issuer, CLIENT, "s").begin("https://c.example/back", "/now", NOW_S)
    assert refused.value.reason == "issuer"


def test_the_first_role_of_the_mapping_counts_and_dots_lead_into_claims() -> None:
    claims = {"iss": ISSUER, "sub": "s", "email": "li@x.example", "realm_access": {"roles": ["fs-firm", "fs-watch"]}}
    person = read_person(claims, Claims(roles=ROLES, role="realm_access.roles"))
    assert person == Person(subject=f"{ISSUER} s", name="li@x.example", role=Role.OPERATOR, sites=None)
    assert find_words({"https://x.example/roles": "a"}, "https://x.example/roles") == ("a",)
    assert find_words({"groups": [1, "a", None]}, "groups") == ("a",)
    assert find_words({"groups": "a"}, "groups.deeper") == ()


def test_the_last_administrator_keeps_the_role(services: Services) -> None:
    person = Person(subject=f"{ISSUER} s", name="li", role=Role.ADMINISTRATOR, sites=None)
    with services.database.writing() as session:
        federation.admit(session, person, NOW_S)
    for role in (None, Role.OPERATOR):
        with pytest.raises(ConflictError), services.database.writing() as session:
            federation.admit(session, msgspec.structs.replace(person, role=role), NOW_S)


def test_settings_of_a_provider_are_kept_and_mistakes_named(tmp_path: Path) -> None:
    given = Settings(
        data_dir=tmp_path, broker_password="p", secret_key="s", oidc_issuer=ISSUER, oidc_client_id=CLIENT,
        oidc_roles=ROLES, certificates=("a.pem",), keep_raw_days=9,
    )  # fmt: skip
    save(given)
    assert load(tmp_path) == given
    for wrong in ({"oidc_issuer": "http://sso.example"}, {"oidc_client_id": ""}, {"oidc_roles": {}}):
        save(msgspec.structs.replace(given, **wrong))
        with pytest.raises(SetupError, match="oidc_issuer"):
            load(tmp_path)
    missing = msgspec.structs.replace(given, oidc_client_secret_file="oidc.secret")
    services = bootstrap(missing)
    with pytest.raises(SetupError, match="oidc_client_secret_file"):
        create_app(services)
    services.close()
