"""Chains in a real browser: a drill is held, a rule is switched, a list is ticked off, at a desk and on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fleet.chains import rulebook, service
from fleet.chains.rules import read
from fleet.commands.keys import load_key
from tests.browser.conftest import serving, take_cookies
from tests.browser.district import QUAKE, District

RULES = """
[[chain]]
name = "gas-off"
title = "关闭燃气"
intensity = 6
within_km = 30
lat = 29.6
lon = 106.5
[[chain.raise]]
alarm = "close-gas:commanded"
gateways = ["{gateway}"]

[[chain]]
name = "look"
title = "桥梁与滑坡"
intensity = 7
[[chain.hurry]]
gateways = ["{gateway}"]
groups = ["crack-01.slow", "crack-02.slow"]
every_s = 10
lasts_min = 120
[[chain.inspect]]
title = "桥梁巡检清单"
places = ["江津长江大桥", "鱼洞长江大桥", "石门大桥"]
"""


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Iterator[District]:
    """One of its own: what is fired here raises alarms."""
    district = District(tmp_path_factory.mktemp("chains"))
    district.settle()
    yield district
    district.close()


@pytest.fixture(scope="module")
def address(district: District) -> Iterator[str]:
    with serving(district) as address:
        yield address


@pytest.fixture(scope="module")
def pass_cookies(browser: Browser, address: str) -> list[dict[str, object]]:
    return take_cookies(browser, address)


@pytest.fixture(params=["desk", "phone"])
def page(request: pytest.FixtureRequest) -> Page:
    found: Page = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def fired(district: District) -> int:
    """The number of a firing whose list is still to be ticked off."""
    services = district.services
    with services.database.writing() as session:
        rulebook.put_rules(session, read(RULES.replace("{gateway}", QUAKE)), "li", services.clock())
        quake = f"q-{services.clock()}"
        service.consider(session, quake, 7.4, 29.6, 106.5, services.clock(), services.clock())
        return service.settle(session, partial(load_key, services.settings.data_dir), services.clock())[-1]


def show(page: Page, name: str) -> None:
    """Keep a picture where ``CHAIN_PICTURES`` names a folder."""
    if folder := os.environ.get("CHAIN_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}-{page.viewport_size['width']}.png", full_page=True)  # type: ignore[index]


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.usefixtures("fired")
def test_rule_is_read_switched_and_drilled(page: Page) -> None:
    page.goto("/chains")
    rule = page.locator("#c-gas-off")
    expect(rule).to_contain_text("地震烈度达到 6 度（任一台站在北纬 29.6°、东经 106.5° 30 公里内）时：")
    assert fits(page)
    show(page, "chains")
    rule.get_by_text("停用").click()
    expect(page.locator("#c-gas-off.is-off")).to_be_visible()
    page.locator("#c-gas-off").get_by_text("启用").click()
    page.locator("#c-gas-off").get_by_text("演练一次").click()
    expect(page.locator(".notice")).to_contain_text("演练")
    assert fits(page)
    show(page, "drill")


def test_list_is_ticked_off_with_who_and_what_was_found(page: Page, fired: int) -> None:
    page.goto(f"/chains/firings/{fired}")
    assert fits(page)
    first = page.locator(".places li").first
    first.locator("input[name=comment]").fill("无裂缝")
    first.get_by_text("已巡检").click()
    expect(page.locator(".places li").first).to_contain_text("无裂缝")
    expect(page.locator("#t-inspections + .note")).to_contain_text("1 / 3")
    show(page, "firing")
