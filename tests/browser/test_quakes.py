"""Earthquakes in a real browser: the page grows by itself, at desk and phone size, in both languages and themes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from seismic import miniseed
from tests.browser.conftest import DESK, PHONE, Watch, opened, serving, take_cookies
from tests.browser.district import District
from tests.browser.quakes import STATIONS, Shaken

FIRST, SECOND, THIRD = STATIONS


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shaken]:
    district = District(tmp_path_factory.mktemp("quakes"))
    yield Shaken(district.services)
    district.close()


@pytest.fixture(scope="module")
def address(shaken: Shaken) -> Iterator[str]:
    with serving(shaken) as address:  # type: ignore[arg-type]
        yield address


@pytest.fixture(scope="module")
def pass_cookies(browser: Browser, address: str) -> list[dict[str, object]]:
    return take_cookies(browser, address)


def test_an_earthquake_comes_grows_and_brings_its_waveforms_without_a_reload(shaken: Shaken, desk: Page) -> None:
    desk.goto("/quakes")
    expect(desk.get_by_text("没有地震")).to_be_visible()
    expect(desk.locator("#pulse")).to_have_text("数据实时")
    shaken.tell(FIRST, "onset", 0.2, 0.3)
    row = desk.locator("#q-1")
    expect(row).to_contain_text("1，未经印证")
    row.get_by_role("link").click()
    expect(desk.locator("#doubts")).to_contain_text("仅一个台站")
    expect(desk.get_by_text("波形尚未到达。")).to_be_visible()
    shaken.tell(SECOND, "onset", 0.2, 0.3)
    expect(desk.locator("#doubts")).to_have_count(0)
    shaken.tell(FIRST, "grown", 9, 1.0)
    expect(desk.locator(".class.large")).to_have_text("X")
    for gateway in (FIRST, SECOND):
        shaken.send_waves(gateway)
    expect(desk.locator(".trace")).to_have_count(6)
    expect(desk.locator(".quakemap .station")).to_have_count(2)
    with desk.expect_download() as download:
        desk.get_by_role("link", name="miniSEED 2").click()
    assert download.value.suggested_filename == "earthquake-1.mseed"
    assert len(miniseed.read(download.value.path().read_bytes())) >= 6
    shaken.tell(THIRD, "grown", 12, 1.0)
    expect(desk.locator(".quakemap .station")).to_have_count(3)
    expect(desk.locator("#streets tbody tr").first).to_contain_text("X")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize(("language", "theme"), [("zh", "light"), ("en", "dark")])
def test_the_pages_fit(
    shaken: Shaken, browser: Browser, address: str, pass_cookies: list[dict[str, object]], watch: Watch,
    viewport: dict[str, int], language: str, theme: str,
) -> None:  # fmt: skip
    shaken.tell(THIRD, "closed", 14, 1.0)
    with opened(browser, address, pass_cookies, viewport, language=language, theme=theme) as context:
        page = context.new_page()
        watch.over(page)
        for path in ("/quakes", "/quakes/1"):
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= viewport["width"], path
            texts = page.evaluate(
                "[...document.querySelectorAll('.quakemap text')].filter(t => getComputedStyle(t).display !== 'none')"
                ".map(t => t.getBoundingClientRect().height)"
            )
            assert all(height >= 8 for height in texts), "no text of the map is too small to read"
