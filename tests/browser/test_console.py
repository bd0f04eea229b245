"""What people see and do on the console, in a real browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESK, PHONE, Watch, opened
from tests.browser.district import PARK, PASSWORD, QUAKE, SILENT, USER, WEATHER, District

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "pictures"
PAGES = (
    "/", "/gateways", f"/gateways/{PARK}", f"/gateways/{SILENT}", f"/gateways/{PARK}/tags/t-101.level",
    "/alarms", "/alarms?state=journal", "/alarms/notifications", "/relay", f"/gateways/{SILENT}/losses",
    "/configurations", f"/gateways/{PARK}/configuration", f"/gateways/{PARK}/configuration/edit", "/templates",
    f"/gateways/{SILENT}/quarantine", f"/gateways/{SILENT}/counts", "/waveforms",
)  # fmt: skip


# signing in


def test_signing_in_needs_no_mouse(stranger: Page) -> None:
    stranger.goto("/gateways")
    expect(stranger).to_have_url("/sign-in?next=/gateways")
    expect(stranger.locator("#name")).to_be_focused()
    stranger.keyboard.type(USER)
    stranger.keyboard.press("Tab")
    stranger.keyboard.type(PASSWORD)
    stranger.keyboard.press("Enter")
    expect(stranger).to_have_url("/gateways")
    expect(stranger.locator("h1")).to_have_text("网关")


def test_wrong_password_is_told_and_the_name_is_kept(stranger: Page, watch: Watch) -> None:
    watch.expected.add("401")
    stranger.goto("/sign-in")
    stranger.fill("#name", USER)
    stranger.fill("#password", "not the password")
    stranger.click("button.main")
    expect(stranger.get_by_role("alert")).to_have_text("用户名或密码错误。")
    expect(stranger.locator("#name")).to_have_value(USER)
    expect(stranger.locator("#password")).to_be_focused()


def test_signing_out_closes_every_page(browser: Browser, address: str, watch: Watch) -> None:
    with opened(browser, address, [], DESK) as context:
        page = context.new_page()
        watch.over(page)
        page.goto("/sign-in")
        page.fill("#name", USER)
        page.fill("#password", PASSWORD)
        page.click("button.main")
        page.get_by_role("button", name="退出登录").click()
        expect(page).to_have_url("/sign-in")
        page.goto("/alarms")
        expect(page).to_have_url("/sign-in?next=/alarms")


# what is seen


def test_now_shows_active_alarms_the_most_urgent_first(desk: Page) -> None:
    desk.goto("/")
    rows = desk.locator("table.alarms tbody tr")
    expect(rows).to_have_count(3)
    first = rows.first
    expect(first).to_contain_text("GD-07 可燃气 高高")
    expect(first).to_contain_text("/ 50 %LEL")
    expect(first.get_by_role("img", name="优先级 1")).to_be_visible()
    expect(first.locator(".range .at")).to_have_attribute("x1", "56.0%")
    expect(first.locator(".trend")).to_be_visible()
    expect(desk.locator(".nav .badge")).to_have_text("3")


def test_every_link_to_more_of_a_panel_is_seen(desk: Page) -> None:
    for page in ("/", f"/gateways/{PARK}"):
        desk.goto(page)
        links = desk.locator(".panel > header a.more").all()
        assert links
        for link in links:
            expect(link).to_be_visible()


def test_now_counts_silent_gateways_and_the_access_rate(desk: Page) -> None:
    desk.goto("/")
    expect(desk.locator(".keys")).to_contain_text("3 / 4")
    expect(desk.locator(".keys")).to_contain_text("1 台失联")
    # 44 + 4 + 3 + 1 tags; one is uncertain, one is bad, one belongs to the silent gateway.
    expect(desk.locator(".keys")).to_contain_text("94.2 %")
    expect(desk.get_by_text("水土立交 积水")).to_be_visible()
    expect(desk.locator("body")).to_contain_text("HTTP 503 Service Unavailable")


def test_live_value_changes_without_a_reload(desk: Page, district: District) -> None:
    desk.goto(f"/gateways/{PARK}")
    desk.evaluate("window.untouched = true")
    row = desk.locator('tr[data-tag="t-103.temperature"]')
    before = row.locator(".at").get_attribute("x1")
    district.say(PARK, "t-103.temperature", 44.4)
    expect(row.locator("[data-value]")).to_have_text("44.4")
    assert row.locator(".at").get_attribute("x1") != before
    district.forget()
    expect(desk.locator("#pulse")).to_have_attribute("data-state", "live")
    assert desk.evaluate("window.untouched") is True


def test_quality_says_why_there_is_no_value(desk: Page) -> None:
    desk.goto(f"/gateways/{PARK}?show=bad")
    row = desk.locator("tr[data-tag]")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("GD-08 可燃气")
    expect(row.locator("[data-quality]")).to_have_text("坏 无应答")
    expect(row.locator("[data-value]")).to_have_text("—")


def test_alarm_appears_and_leaves_while_the_page_is_open(desk: Page, district: District) -> None:
    desk.goto("/alarms")
    expect(desk.locator("#pulse")).to_have_attribute("data-state", "live")
    desk.evaluate("window.untouched = true")
    district.alarm(WEATHER, "wind.speed", "high", 18.4)
    row = desk.locator("table.alarms tr", has_text="WIND 风速 高")
    expect(row).to_be_visible(timeout=8000)
    expect(row.get_by_role("img", name="优先级 3")).to_be_visible()
    district.alarm(WEATHER, "wind.speed", "high", 15.0, change="cleared")
    expect(row).to_have_count(0, timeout=8000)
    assert desk.evaluate("window.untouched") is True


def test_chart_draws_the_history_with_its_limits(desk: Page) -> None:
    desk.goto(f"/gateways/{PARK}/tags/t-101.level")
    expect(desk.locator("#chart")).to_have_attribute("data-drawn", "true")
    drawn = desk.evaluate(
        """() => {
            const canvas = document.querySelector("#chart canvas");
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const accent = [29, 79, 115], red = [200, 30, 30];
            const near = (i, c) => c.every((part, k) => Math.abs(pixels[i + k] - part) < 40) && pixels[i + 3] > 200;
            let line = 0, limit = 0;
            for (let i = 0; i < pixels.length; i += 4) { line += near(i, accent); limit += near(i, red); }
            return {line, limit};
        }"""
    )
    assert drawn["line"] > 500, "the curve is not there"
    assert drawn["limit"] > 100, "the limit is not there"
    desk.get_by_role("link", name="24 小时").click()
    expect(desk).to_have_url(f"/gateways/{PARK}/tags/t-101.level?span=24h")
    expect(desk.locator("#chart")).to_have_attribute("data-drawn", "true")


def test_gateways_are_filtered_and_sorted(desk: Page) -> None:
    desk.goto("/gateways")
    names = desk.locator("table.fleet .c-name .below")
    expect(names).to_have_text([PARK, WEATHER, SILENT, QUAKE])
    desk.get_by_role("link", name="失联").click()
    expect(names).to_have_text([SILENT])
    desk.get_by_role("link", name="全部", exact=False).first.click()
    desk.get_by_role("searchbox").fill("气象")
    desk.keyboard.press("Enter")
    expect(names).to_have_text([WEATHER])
    desk.goto("/gateways?sort=-name")
    expect(names).to_have_text([PARK, SILENT, WEATHER, QUAKE])


def test_silent_gateway_shows_its_last_values_and_says_so(desk: Page) -> None:
    desk.goto(f"/gateways/{SILENT}")
    expect(desk.get_by_role("status")).to_contain_text("该网关失联")


def test_address_that_does_not_exist_has_a_page_with_a_way_back(desk: Page, watch: Watch) -> None:
    watch.expected.add("404")
    for address in ("/nowhere", "/gateways/gw-nowhere-1", f"/gateways/{PARK}/tags/none.such"):
        answer = desk.goto(address)
        assert answer is not None
        assert answer.status == 404
        expect(desk.get_by_role("link", name="返回“当前”")).to_be_visible()


# language and theme


def test_language_is_switched_and_remembered(desk: Page) -> None:
    desk.goto("/alarms")
    expect(desk.locator("html")).to_have_attribute("lang", "zh-Hans")
    desk.get_by_role("button", name="English").click()
    expect(desk).to_have_url("/alarms")
    expect(desk.locator("h1")).to_have_text("Alarms")
    desk.goto("/")
    expect(desk.locator("h1")).to_have_text("Now")
    expect(desk.locator("html")).to_have_attribute("lang", "en")
    desk.get_by_role("button", name="中文").click()
    expect(desk.locator("h1")).to_have_text("当前")


def test_theme_is_switched_and_remembered(desk: Page) -> None:
    desk.goto("/")
    desk.get_by_role("button", name="深色").click()
    desk.goto("/relay")
    ground = desk.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(18, 23, 27)"


CONTRAST = """() => {
    const parse = (text) => {
        const p = text.match(/[\\d.]+/g).map(Number);
        return {rgb: p.slice(0, 3), a: p[3] ?? 1};
    };
    const lum = (rgb) => rgb.map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const c = parse(getComputedStyle(node).backgroundColor);
            if (c.a === 1) return c.rgb;
        }
        return [255, 255, 255];
    };
    const poor = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = walker.nextNode());) {
        const node = text.parentElement;
        if (!text.data.trim() || node.closest("svg, .hush, .skip, script") || !node.checkVisibility()) continue;
        seen++;
        const a = lum(parse(getComputedStyle(node).color).rgb), b = lum(ground(node));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${text.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return {seen, poor};
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(
    browser: Browser, address: str, pass_cookies: list[dict[str, object]], theme: str
) -> None:
    with opened(browser, address, pass_cookies, DESK, theme=theme) as context:
        page = context.new_page()
        for path in PAGES:
            page.goto(path)
            found = page.evaluate(CONTRAST)
            assert found["seen"] > 10
            assert not found["poor"], f"{path} in {theme}"


def test_dark_tokens_are_the_same_by_switch_and_by_system() -> None:
    text = (ROOT / "fleet/console/static/tokens.css").read_text("utf-8")
    switch = text.split(':root[data-theme="dark"] {')[1].split("}")[0]
    system = text.split(':root[data-theme="auto"] {')[1].split("}")[0]
    assert [line.strip() for line in switch.split("\n")] == [line.strip() for line in system.split("\n")]


# phone, keyboard, no scripts


@pytest.mark.parametrize("language", ["zh", "en"])
def test_nothing_is_wider_than_a_phone(
    browser: Browser, address: str, pass_cookies: list[dict[str, object]], language: str, watch: Watch
) -> None:
    with opened(browser, address, pass_cookies, PHONE, scale=2, language=language) as context:
        page = context.new_page()
        watch.over(page)
        for path in (*PAGES, f"/gateways/{WEATHER}", "/sign-in"):
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0, f"{path} is {wide} px wider than a phone"


def test_navigation_lies_under_the_thumb(phone: Page) -> None:
    phone.goto(f"/gateways/{PARK}")
    for link in phone.locator(".nav a:visible, .unfold summary").all():
        box = link.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["width"] >= 44
        assert box["y"] > PHONE["height"] - 80
    phone.locator(".nav a", has_text="报警").click()
    expect(phone.locator("h1")).to_have_text("报警")


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_menu_shows_every_entry_without_scrolling(
    browser: Browser, address: str, pass_cookies: list[dict[str, object]], viewport: dict[str, int], language: str
) -> None:
    with opened(browser, address, pass_cookies, viewport, language=language) as context:
        page = context.new_page()
        page.goto("/chains")
        if viewport == PHONE:
            expect(page.locator(".unfold")).to_have_class("unfold here")
            page.locator(".unfold").click()
        links = page.locator("nav .nav a")
        assert links.count() >= 11
        for link in links.all():
            box = link.bounding_box()
            assert box is not None, link.text_content()
            assert 0 <= box["x"] <= viewport["width"] - box["width"], link.text_content()
            assert 0 <= box["y"] <= viewport["height"] - box["height"], link.text_content()
            room = link.evaluate("link => link.clientWidth - link.querySelector('span').offsetWidth")
            assert room >= 0, link.text_content()
        links.filter(has_text={"zh": "波形", "en": "Waveforms"}[language]).click()
        page.wait_for_url("**/waveforms")


def test_everything_is_reached_with_the_tab_key(desk: Page) -> None:
    desk.goto("/")
    desk.keyboard.press("Tab")
    expect(desk.locator(".skip")).to_be_focused()
    expect(desk.locator(".skip")).to_be_in_viewport()
    desk.keyboard.press("Enter")
    expect(desk.locator("#main")).to_be_focused()
    desk.goto("/")
    wanted = desk.locator("a:visible, button:visible, input:visible, select:visible").count()
    reached = set()
    for _ in range(wanted + 1):
        desk.keyboard.press("Tab")
        mark = desk.evaluate(
            """() => {
                const node = document.activeElement;
                if (node === document.body) return null;
                const style = getComputedStyle(node);
                const all = [...document.querySelectorAll("a, button, input, select")];
                return [all.indexOf(node), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }"""
        )
        if mark is None:
            break
        assert mark[1], f"element {mark[0]} shows no focus"
        reached.add(mark[0])
    assert len(reached) >= wanted


def test_pages_are_whole_without_any_script(
    browser: Browser, address: str, pass_cookies: list[dict[str, object]], watch: Watch
) -> None:
    with opened(browser, address, pass_cookies, DESK, scripts=False) as context:
        page = context.new_page()
        watch.over(page)
        page.goto("/")
        expect(page.locator("table.alarms tbody tr").first).to_contain_text("GD-07 可燃气 高高")
        page.goto(f"/gateways/{PARK}/tags/t-101.level")
        expect(page.locator("#chart svg.still")).to_be_visible()
        page.get_by_role("link", name="10 分钟").click()
        expect(page).to_have_url(f"/gateways/{PARK}/tags/t-101.level?span=10m")
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("link", name="10 min")).to_be_visible()


# pictures


def test_pictures_for_the_documentation(
    browser: Browser, address: str, pass_cookies: list[dict[str, object]], watch: Watch
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    shots = (
        ("console", "/", DESK, 1, "", "light"),
        ("gateway", f"/gateways/{PARK}", DESK, 1, "", "light"),
        ("gateway-dark", f"/gateways/{PARK}", DESK, 1, "", "dark"),
        ("chart", f"/gateways/{PARK}/tags/t-101.level", DESK, 1, "en", "light"),
        ("phone", "/", PHONE, 2, "", "light"),
        ("ledger", f"/gateways/{SILENT}/losses", DESK, 1, "", "light"),
        ("ledger-phone", f"/gateways/{SILENT}/losses", PHONE, 2, "", "light"),
    )
    for name, path, viewport, scale, language, theme in shots:
        with opened(browser, address, pass_cookies, viewport, scale=scale, language=language, theme=theme) as context:
            page = context.new_page()
            watch.over(page)
            page.goto(path)
            if not name.startswith("ledger"):  # what was lost does not change by the second
                expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
            if name == "chart":
                expect(page.locator("#chart")).to_have_attribute("data-drawn", "true")
            picture = PICTURES / f"{name}.png"
            page.screenshot(path=picture)
            assert picture.stat().st_size > 20_000
    if kept := os.environ.get("FENGSUI_PICTURES"):
        (ROOT / kept).mkdir(parents=True, exist_ok=True)
        for name in ("console", "gateway", "phone"):
            shutil.copy(PICTURES / f"{name}.png", ROOT / kept / f"{name}.png")
