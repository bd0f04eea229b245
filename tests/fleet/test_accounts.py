"""Signing in: passwords, the second factor, guesses; what the audit log tells of it, and what no log may hold."""

from __future__ import annotations

import importlib.util
import logging
import re
from base64 import b64encode
from pathlib import Path

import pyotp
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts import tokens, totp
from fleet.accounts.guesses import ADDRESS_FAILURES, Guesses
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.audit import service as audit
from fleet.bootstrap import Services
from fleet.cli import main
from fleet.db import Base
from fleet.errors import ConflictError, InvalidError, NotFoundError
from tests.fleet.conftest import Clock

PASSWORD = "correct horse"
WRONG = "battery staple"


@pytest.fixture
def enrolled(services: Services) -> totp.Enrolled:
    with services.database.writing() as session:
        accounts.add(session, "admin", None, Role.ADMINISTRATOR, services.clock())
        accounts.add(session, "wang", PASSWORD, Role.OPERATOR, services.clock())
        return totp.enrol(session, "wang")


@pytest.fixture
def client(services: Services, enrolled: totp.Enrolled) -> FlaskClient:
    assert enrolled.secret
    return create_app(services).test_client()


def post(client: FlaskClient, path: str, **form: str) -> tuple[int, str]:
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert token is not None
    answer = client.post(path, data={"csrf_token": token[1], **form})
    return answer.status_code, answer.headers.get("Location", "")


def code_at(enrolled: totp.Enrolled, now_ns: int) -> str:
    return pyotp.TOTP(enrolled.secret).at(now_ns // 10**9)


def test_an_answer_to_an_unknown_name_takes_as_long_as_one_to_a_wrong_password() -> None:
    """What is checked for nobody was hashed at the same cost as passwords are. Read anew: tests hash at less."""
    spec = importlib.util.spec_from_file_location("fresh", accounts.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert not fresh._hasher.check_needs_rehash(fresh._NOBODY)
    assert fresh._hasher.verify(fresh._NOBODY, "nobody has this password")


def test_nobody_waits_for_a_password_to_be_checked(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking takes long on purpose. On SQLite a commit would wait for a session that is open meanwhile."""
    committed = 0

    class Watch:
        def verify(self, stored: str, password: str) -> bool:
            nonlocal committed
            with services.database.writing() as session:
                audit.append(session, services.clock(), audit.Actor("wang", "test"), "test")
            committed += 1
            return hasher.verify(stored, password)

    hasher = accounts._hasher
    monkeypatch.setattr(accounts, "_hasher", Watch())
    assert post(client, "/sign-in", name="wang", password=WRONG)[0] == 401
    basic = b64encode(f"somebody:{WRONG}".encode()).decode()
    stranger = create_app(services).test_client()
    assert stranger.get("/api/gateways", headers={"Authorization": f"Basic {basic}"}).status_code == 401
    assert committed == 2


def test_a_password_alone_opens_nothing_and_the_code_lets_in(
    client: FlaskClient, enrolled: totp.Enrolled, clock: Clock
) -> None:
    assert post(client, "/sign-in", name="wang", password=PASSWORD) == (302, "/sign-in/code")
    assert client.get("/gateways").status_code == 302
    assert post(client, "/sign-in/code", code="000000x")[0] == 401
    assert post(client, "/sign-in/code", code=code_at(enrolled, clock())) == (302, "/")
    assert client.get("/gateways").status_code == 200


def test_who_waits_too_long_with_the_code_begins_anew(client: FlaskClient, clock: Clock) -> None:
    assert post(client, "/sign-in", name="wang", password=PASSWORD)[0] == 302
    clock.advance(301)
    answer = client.get("/sign-in/code")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sign-in")


def test_a_code_works_once_and_with_a_clock_half_a_minute_off(
    services: Services, enrolled: totp.Enrolled, clock: Clock
) -> None:
    early = code_at(enrolled, clock() - 30 * 10**9)
    now = code_at(enrolled, clock())
    with services.database.writing() as session:
        wang = accounts.get(session, "wang").id
        given = [early, now, now, early, code_at(enrolled, clock() + 90 * 10**9), "", "烽燧"]
        assert [totp.accept(session, wang, code, clock()) for code in given] == [True, True, *[False] * 5]


def test_a_recovery_code_works_once_and_is_kept_hashed(
    services: Services, enrolled: totp.Enrolled, clock: Clock
) -> None:
    with services.database.writing() as session:
        wang = accounts.get(session, "wang").id
        first, second = enrolled.recovery[:2]
        given = [first.upper(), first, f" {second} "]
        assert [totp.accept(session, wang, code, clock()) for code in given] == [True, False, True]
        kept = [row for table in Base.metadata.sorted_tables for row in session.execute(sa.select(table)).all()]
        assert not [code for code in enrolled.recovery if code in str(kept)]


def test_guessing_codes_is_slowed_down(client: FlaskClient, enrolled: totp.Enrolled, clock: Clock) -> None:
    assert post(client, "/sign-in", name="wang", password=PASSWORD)[0] == 302
    statuses = [post(client, "/sign-in/code", code="1234567")[0] for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert post(client, "/sign-in/code", code=code_at(enrolled, clock()))[0] == 429


def test_one_address_with_many_names_has_to_wait() -> None:
    guesses = Guesses(lambda: 0.0)
    for number in range(ADDRESS_FAILURES):
        assert guesses.wait_s(f"name{number}", "192.0.2.7") == 0
        guesses.note_failure(f"name{number}", "192.0.2.7")
    assert guesses.wait_s("another", "192.0.2.7") > 0
    assert guesses.wait_s("another", "192.0.2.8") == 0
    guesses.forget("name1", "192.0.2.7")
    assert guesses.wait_s("name1", "192.0.2.7") > 0, "a success does not clear an address"


def test_what_is_told_of_signing_in_and_no_secret_in_any_log(
    client: FlaskClient, services: Services, enrolled: totp.Enrolled, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with services.database.writing() as session:
        token = tokens.make(session, "admin", "reports", ["read"], 1, clock())
    post(client, "/sign-in", name="wang", password=WRONG)
    post(client, "/sign-in", name=WRONG, password=WRONG)
    post(client, "/sign-in", name="wang", password=PASSWORD)
    code = code_at(enrolled, clock())
    post(client, "/sign-in/code", code=code)
    page = client.get("/").text
    sent = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert sent is not None
    client.post("/gateways/gw-yufu-0001/commands", data={"csrf_token": sent[1], "command": WRONG})
    client.post("/sign-out", data={"csrf_token": sent[1]})
    stranger = create_app(services).test_client()
    stranger.get("/api/gateways", headers={"Authorization": f"Bearer {token}"})
    stranger.get("/api/gateways", headers={"Authorization": f"Bearer {token}x"})
    stranger.get("/api/relay", headers={"Authorization": f"Bearer {token}"})
    basic = b64encode(f"wang:{WRONG}".encode()).decode()
    stranger.get("/api/gateways", headers={"Authorization": f"Basic {basic}"})
    with services.database.reading() as session:
        lines = audit.list_lines(session)[::-1]
        assert audit.check(session) == ()
        text = audit.write_csv(lines)
    assert [(line.actor, line.via, line.action, line.outcome) for line in lines] == [
        ("wang", "console", "sign-in", "failed"),
        ("", "console", "sign-in", "failed"),
        ("wang", "console", "sign-in", "done"),
        ("wang", "console", "console.command", "refused"),
        ("wang", "console", "sign-out", "done"),
        ("", "bearer", "sign-in", "failed"),
        ("admin", "token:reports", "api_relay.get_status", "refused"),
        ("wang", "basic", "sign-in", "failed"),
    ]
    for secret in (PASSWORD, WRONG, code, token, enrolled.secret, basic, "service-secret", "signing-key"):
        assert secret not in text
        assert secret not in caplog.text


@pytest.mark.usefixtures("enrolled")
def test_what_accounts_refuse(services: Services, clock: Clock) -> None:
    with services.database.writing() as session:
        for change in (
            lambda: accounts.set_role(session, "admin", Role.OPERATOR),
            lambda: accounts.set_enabled(session, "admin", False),
            lambda: accounts.add(session, "wang", PASSWORD, Role.OPERATOR, clock()),
        ):
            with pytest.raises(ConflictError):
                change()
        for change in (
            lambda: accounts.add(session, "li\x1b", PASSWORD, Role.OPERATOR, clock()),
            lambda: accounts.add(session, "li", "short", Role.OPERATOR, clock()),
            lambda: tokens.make(session, "wang", "x", [], 1, clock()),
            lambda: tokens.make(session, "wang", "x", ["everything"], 1, clock()),
            lambda: tokens.make(session, "wang", "x", ["read"], 10**6, clock()),
        ):
            with pytest.raises(InvalidError):
                change()
        with pytest.raises(NotFoundError):
            accounts.set_sites(session, "wang", ["nowhere"])
        assert accounts.find_credential(session, "admin").accept("nobody has this password") is None, (
            "it has no password"
        )
        assert accounts.find(session, "1") is None, "a session of the release before signs in anew"


def test_the_command_line_manages_accounts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    assert main(["init", *data]) == 0
    for line in (
        "site add yufu", "user add li --role enterprise --site yufu", "user add chen --role technician",
        "user role chen auditor", "user sites li", "user password chen", "user totp chen", "user totp chen --off",
        "user shut chen", "user open chen", "user token li reports --scope read --days 7",
    ):  # fmt: skip
        assert main([*line.split(), *data]) == 0, line
    printed = capsys.readouterr().out
    token = re.search(r"fst_\S+", printed)
    assert token is not None
    assert main(["user", "list", *data]) == 0
    listed = capsys.readouterr().out
    assert "li: enterprise\n" in listed
    assert "chen: auditor\n" in listed
    assert "li: token 'reports' (read) until" in listed
    assert token[0] not in listed
    assert main(["user", "token", "li", "reports", "--revoke", *data]) == 0
    assert main(["user", "role", "admin", "operator", *data]) == 1
    assert "only administrator" in capsys.readouterr().err
    assert main(["audit", "export", *data]) == 0
    exported = capsys.readouterr().out
    assert exported.count("user.") == 11
    assert token[0] not in exported
