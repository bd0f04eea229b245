"""Remote diagnosis in a real browser: a gateway is asked, at a desk and on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.district import QUAKE


@pytest.fixture(params=["desk", "phone"])
def page(request: pytest.FixtureRequest) -> Page:
    found: Page = request.getfixturevalue(request.param)
    return found


def test_a_gateway_is_asked_for_its_log_and_the_request_is_listed(page: Page) -> None:
    page.goto(f"/gateways/{QUAKE}")
    page.click("text=远程诊断")
    page.select_option("#what", "logs")
    page.click("main button.button")
    expect(page).to_have_url(f"/gateways/{QUAKE}/diagnosis")
    expect(page.locator(".pair").first).to_contain_text("近期日志")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_bus_is_recorded_for_some_seconds_and_the_request_names_it(page: Page) -> None:
    page.goto(f"/gateways/{QUAKE}/diagnosis")
    page.select_option("#what", "capture")
    bus = page.input_value("#bus")
    page.fill("#seconds", "20")
    page.click("main button.button")
    expect(page.locator(".pair").first).to_contain_text(f"线路报文录制 · {bus}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
