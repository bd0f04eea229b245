"""The gateway's own page in a real browser: at phone size, by thumb, by keyboard, in both themes."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import DESK, PHONE, Watch, opened
from tests.browser.test_console import CONTRAST, PICTURES
from tests.edge.local.fake import FakeSite, alarm, flood
from tests.edge.local.serving import hash_cheaply, make_server
from wire.alarm import Standing

CODE = "2468013579"
PATHS = ("/", "/alarm?name=t-101.level:high-high", "/values", "/equipment", "/gateway")
TOUCH = 44


@pytest.fixture
def site() -> FakeSite:
    return FakeSite()


@pytest.fixture
def address(site: FakeSite) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gateway", daemon=True)
    thread.start()
    server = make_server(site, hash_cheaply(CODE))
    port = asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(10)
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)
    loop.close()


def sign_in(context: BrowserContext, name: str = "张三") -> Page:
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("#name", name)
    page.fill("#code", CODE)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    return page


@pytest.fixture
def phone(browser: Browser, address: str, watch: Watch) -> Iterator[Page]:
    with opened(browser, address, [], PHONE, scale=2) as context:
        page = sign_in(context)
        watch.over(page)
        yield page


def test_alarm_is_acknowledged_by_a_tap(phone: Page, site: FakeSite) -> None:
    row = phone.locator('[data-alarm="t-101.level:high-high"]')
    expect(row).to_contain_text("未确认")
    row.get_by_role("button", name="确认").click()
    expect(phone.get_by_role("status")).to_contain_text("已执行：确认 t-101.level:high-high")
    expect(row).to_contain_text("已确认")
    expect(row.get_by_role("button")).to_have_count(0)
    assert [one.by for one in site.asked] == ["张三"]


def test_everything_is_done_by_keyboard_alone(browser: Browser, address: str, watch: Watch, site: FakeSite) -> None:
    with opened(browser, address, [], DESK) as context:
        page = context.new_page()
        watch.over(page)
        page.goto("/")
        expect(page.locator("#name")).to_be_focused()
        page.keyboard.type("张三")
        page.keyboard.press("Tab")
        page.keyboard.type(CODE)
        page.keyboard.press("Enter")
        page.wait_for_url("**/")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.locator(".what").first).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url("**/alarm?name=*")
        page.locator("#minutes").focus()
        page.keyboard.press("Control+a")
        page.keyboard.type("45")
        page.keyboard.press("Tab")
        page.keyboard.type("标定")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("已执行：搁置")
        request = site.asked[0].request
        assert (request.minutes, request.comment) == (45, "标定")


def test_focus_and_what_is_typed_outlive_a_refresh(phone: Page, site: FakeSite) -> None:
    button = phone.locator('[id="ack-gd-03.gas:high"]')
    button.focus()
    site.raised["t-101.level:high-high"] = alarm("t-101.level:high-high", priority=1, value=91.0)
    expect(phone.locator("#alarms")).to_contain_text("91")
    expect(button).to_be_focused()
    phone.goto("/alarm?name=t-101.level:high-high")
    phone.fill("#shelve-reason", "标定中")
    site.raised["t-101.level:high-high"] = alarm("t-101.level:high-high", priority=1, value=92.5)
    expect(phone.locator("#alarm")).to_contain_text("92.5")
    expect(phone.locator("#shelve-reason")).to_have_value("标定中")


def test_alarm_appears_while_the_page_is_open_and_a_tap_at_that_moment_hits_nothing(
    phone: Page, site: FakeSite
) -> None:
    phone.evaluate(
        """() => new MutationObserver((found) => {
            for (const one of found)
                if (one.target.id === "alarms" || [...one.addedNodes].some((node) => node.id === "alarms"))
                    window.guarded = document.getElementById("alarms").classList.contains("moved") || window.guarded;
        }).observe(document.body, {subtree: true, childList: true, attributes: true})"""
    )
    site.raised["t-102.level:high-high"] = alarm("t-102.level:high-high", priority=1, raised_mono_ns=1)
    expect(phone.locator('[data-alarm="t-102.level:high-high"]')).to_be_visible()
    expect(phone.locator(".badge")).to_have_text("3")
    assert phone.evaluate("window.guarded")
    expect(phone.locator(".moved")).to_have_count(0)
    phone.locator('[data-alarm="t-102.level:high-high"]').get_by_role("button").click()
    expect(phone.get_by_role("status")).to_contain_text("t-102")


def test_page_says_when_the_gateway_no_longer_answers(phone: Page, watch: Watch) -> None:
    watch.expected.add("ERR_INTERNET_DISCONNECTED")
    phone.context.set_offline(True)
    expect(phone.locator("#lost")).to_be_visible()
    phone.context.set_offline(False)
    expect(phone.locator("#lost")).to_be_hidden()


def test_flood_stays_usable_on_a_phone(phone: Page, site: FakeSite) -> None:
    flood(site, 1000)
    phone.goto("/")
    rows = phone.locator("[data-alarm]")
    expect(rows).to_have_count(50)
    expect(rows.first).to_have_attribute("data-alarm", "t-0000.level:high")
    expect(phone.locator("#alarms")).to_contain_text("共 1000 条")
    phone.get_by_role("link", name="下一页").click()
    expect(phone).to_have_url(re.compile(r"page=2"))
    expect(rows.first).to_have_attribute("data-alarm", "t-0045.level:high")
    rows.first.get_by_role("button").click()
    expect(phone).to_have_url(re.compile(r"page=2"))


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("width", [320, PHONE["width"]])
def test_nothing_is_wider_than_a_phone(
    browser: Browser, address: str, watch: Watch, site: FakeSite, language: str, width: int
) -> None:
    long = "x" * 60
    site.raised[f"{long}.{long}:high"] = alarm(
        f"{long}.{long}:high", priority=1, value="y" * 90, source="z" * 90, outputs=("o" * 64,)
    )
    with opened(browser, address, [], {**PHONE, "width": width}, scale=2, language=language) as context:
        page = sign_in(context)
        watch.over(page)
        for path in (*PATHS, f"/alarm?name={long}.{long}:high", "/nowhere"):
            watch.expected.add("404")
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0, f"{path} is {wide} px wider than a phone"


def test_whatever_is_tapped_is_large_enough_for_gloves(phone: Page) -> None:
    for path in PATHS:
        phone.goto(path)
        for node in phone.locator("a:visible:not(.skip), button:visible, input:visible, select:visible").all():
            box = node.bounding_box()
            assert box is not None
            assert box["height"] >= TOUCH, f"{path}: {node.inner_html()} is {box['height']} px high"
            assert box["width"] >= TOUCH, f"{path}: {node.inner_html()} is {box['width']} px wide"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Browser, address: str, site: FakeSite, theme: str) -> None:
    for priority in (1, 2, 3, 4):
        site.raised[f"a.p{priority}:high"] = alarm(f"a.p{priority}:high", priority=priority)
    site.raised["a.out:high"] = alarm("a.out:high", standing=Standing.OUT_OF_SERVICE)
    with opened(browser, address, [], PHONE, theme=theme) as context:
        page = sign_in(context)
        for path in (*PATHS, "/nowhere"):
            page.goto(path)
            found = page.evaluate(CONTRAST)
            assert found["seen"] > 5
            assert not found["poor"], f"{path} in {theme}"


def test_pages_are_whole_without_any_script(browser: Browser, address: str) -> None:
    with opened(browser, address, [], PHONE, scripts=False) as context:
        page = sign_in(context)
        page.locator("[data-alarm] button").first.click()
        expect(page.get_by_role("status")).to_contain_text("已执行")
        page.get_by_role("link", name="实时值").click()
        expect(page.locator(".tag").first).to_contain_text("86.4")
        page.get_by_role("link", name="English").click()
        expect(page.locator("h1")).to_have_text("Values")


@pytest.mark.skipif("FENGSUI_PICTURES" not in os.environ, reason="checks nothing: takes pictures for `make pictures`")
def test_pictures_of_the_page(browser: Browser, address: str, site: FakeSite) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for size, viewport, theme, language in (
        ("phone", PHONE, "light", "zh"), ("phone-dark", PHONE, "dark", "zh"), ("phone-en", PHONE, "light", "en"),
        ("desk", DESK, "light", "zh"), ("desk-dark", DESK, "dark", "en"),
    ):  # fmt: skip
        with opened(browser, address, [], viewport, theme=theme, language=language) as context:
            stranger = context.new_page()
            stranger.goto("/sign-in")
            stranger.screenshot(path=Path(PICTURES / f"local-sign-in-{size}.png"))
            page = sign_in(context)
            for path in PATHS:
                name = path.partition("?")[0].strip("/") or "alarms"
                page.goto(path)
                page.screenshot(path=Path(PICTURES / f"local-{name}-{size}.png"), full_page=size != "desk")
            before = site.raised
            flood(site, 40)
            page.goto("/")
            page.screenshot(path=Path(PICTURES / f"local-flood-{size}.png"))
            site.raised = before
