"""A configuration is changed in a real browser: edited, looked at, sent; at a desk and on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.district import QUAKE, WEATHER

TANK = """
[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://127.0.0.1:502"

[[device]]
name = "tank"
bus = "plc"
unit = 1
[[device.group]]
name = "fast"
poll_s = {poll_s}
[[device.group.tag]]
name = "level"
function = 3
address = 0
type = "u16"
"""
TEMPLATE = '[variable.host]\ntitle = "控制器地址"\n' + TANK.replace("{poll_s}", "1.0").replace("127.0.0.1", "${host}")


@pytest.fixture(params=["desk", "phone"])
def page(request: pytest.FixtureRequest) -> Page:
    found: Page = request.getfixturevalue(request.param)
    return found


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_text_is_corrected_looked_at_and_sent(page: Page) -> None:
    page.goto(f"/gateways/{QUAKE}")
    page.click(".facts >> text=配置")
    page.click("text=编辑文本")
    page.fill("textarea", TANK.replace("poll_s = {poll_s}", "pol_s = 1.0"))
    page.click("main button.main")
    expect(page.locator(".faults li").first).to_contain_text("did you mean 'poll_s'?")
    expect(page.locator("main button.main")).to_have_count(0)
    assert fits(page)
    page.click("text=继续修改")
    width = page.evaluate("innerWidth")
    page.fill("textarea", TANK.format(poll_s=width))
    page.click("main button.main")
    expect(page.locator(".changes tbody tr").first).to_be_visible()
    assert fits(page)
    page.click("main button.main")
    expect(page).to_have_url(f"/gateways/{QUAKE}/configuration")
    expect(page.locator("#t-versions")).to_be_visible()
    assert fits(page)


def test_template_is_written_filled_in_and_sent(page: Page) -> None:
    page.goto("/templates")
    page.fill("#key", "tank")
    page.fill("#title", "罐区")
    page.fill("#document", TEMPLATE)
    page.click("main button.main")
    expect(page.locator("h1")).to_have_text("罐区")
    if not page.locator(f"input[value={WEATHER}]").is_visible():
        page.click("text=其他网关")
    page.check(f"input[value={WEATHER}]")
    page.click("main button.main >> nth=0")
    field = page.locator(f'[name="var:{WEATHER}:host"]')
    field.fill("10.0.0.1")
    page.click("text=重新预览")
    expect(page.locator("main button.main")).to_contain_text("下发到全部 1 台网关")
    assert fits(page)
    page.click("main button.main")
    expect(page.locator("h1")).to_have_text("罐区")
    expect(page.locator("code", has_text="host").first).to_be_visible()
    assert fits(page)
