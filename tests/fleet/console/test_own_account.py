"""One's own account: another password, and the second factor by a page."""

from __future__ import annotations

import html
import re

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from tests.fleet.conftest import Clock

PASSWORD = "correct horse battery"


@pytest.fixture
def app(services: Services) -> Flask:
    with services.database.writing() as session:
        accounts.add(session, "li", PASSWORD, Role.TECHNICIAN, services.clock())
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


def sign_in(app: Flask, password: str = PASSWORD) -> FlaskClient:
    browser = app.test_client()
    assert browser.post("/sign-in", data={"name": "li", "password": password}).status_code == 302
    return browser


def begin(browser: FlaskClient) -> pyotp.TOTP:
    page = browser.post("/account", data={"change": "begin"}).text
    shown = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert shown is not None
    assert "<svg" in page
    return pyotp.TOTP(html.unescape(shown[1]).replace(" ", ""))


def confirm(browser: FlaskClient, code: str, password: str = PASSWORD) -> tuple[int, str]:
    answer = browser.post("/account", data={"change": "confirm", "code": code, "password": password})
    return answer.status_code, answer.text


def is_signed_in(browser: FlaskClient) -> bool:
    return browser.get("/account").status_code == 200


def test_a_second_factor_counts_once_a_code_of_it_was_typed(app: Flask, clock: Clock) -> None:
    browser = sign_in(app)
    made = begin(browser)
    wrong = f"{(int(made.at(clock() // 10**9)) + 1) % 10**6:06}"
    assert confirm(browser, wrong)[0] == 422
    assert confirm(browser, made.at(clock() // 10**9), "guessed")[0] == 422
    assert sign_in(app).get("/account").status_code == 200, "until then the password alone opens"
    status, page = confirm(browser, made.at(clock() // 10**9))
    assert status == 200
    recovery = re.findall(r"<li><code>([0-9a-f]{20})</code></li>", page)
    assert len(recovery) == 10
    assert not is_signed_in(browser), "its sessions end"
    again = sign_in(app)
    assert not is_signed_in(again), "the password alone opens nothing any more"
    clock.advance(60)
    assert again.post("/sign-in/code", data={"code": made.at(clock() // 10**9)}).status_code == 302
    assert is_signed_in(again)


def test_it_is_taken_away_by_password_and_code_only(app: Flask, clock: Clock) -> None:
    browser = sign_in(app)
    made = begin(browser)
    confirm(browser, made.at(clock() // 10**9))
    clock.advance(60)
    browser = sign_in(app)
    browser.post("/sign-in/code", data={"code": made.at(clock() // 10**9)})
    clock.advance(60)
    drop = {"change": "drop", "password": PASSWORD, "code": "000000"}
    assert browser.post("/account", data=drop).status_code == 422
    assert browser.post("/account", data=drop | {"code": made.at(clock() // 10**9)}).status_code == 200
    assert is_signed_in(sign_in(app))


def test_a_password_is_changed_by_who_knows_the_present_one(app: Flask) -> None:
    browser = sign_in(app)
    change = {
        "change": "password",
        "password": PASSWORD,
        "new": "battery staple horse",
        "again": "battery staple horse",
    }
    assert browser.post("/account", data=change | {"password": "guessed"}).status_code == 422
    assert browser.post("/account", data=change | {"again": "other"}).status_code == 422
    assert browser.post("/account", data=change | {"new": "short", "again": "short"}).status_code == 422
    assert browser.post("/account", data=change).status_code == 200
    assert not is_signed_in(browser)
    assert is_signed_in(sign_in(app, "battery staple horse"))


def test_guessing_on_the_page_is_bounded(app: Flask) -> None:
    browser = sign_in(app)
    change = {"change": "password", "password": "guessed", "new": "battery staple", "again": "battery staple"}
    statuses = [browser.post("/account", data=change).status_code for _ in range(8)]
    assert statuses[0] == 422
    assert statuses[-1] == 429
