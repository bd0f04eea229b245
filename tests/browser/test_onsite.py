"""A technician on site: a phone on a bad link, a real fleet, a real gateway without an identity, and one instrument."""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from provisioning.codes import make_code
from tests.browser.conftest import DESK, PHONE, Watch
from tests.browser.onsite import LAT, LON, PASSWORD, SITE_CODE, TECHNICIAN, TEMPLATE, OnSite

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "pictures"
SLOW = {"offline": False, "latency": 300, "downloadThroughput": 60_000, "uploadThroughput": 30_000}
"""Octets a second each way, and ms: a phone at the edge of its cell."""
PATIENCE_MS = 60_000
REACH_PX = 48


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnSite]:
    site = OnSite(tmp_path_factory.mktemp("onsite"))
    site.begin()
    yield site
    site.end()


@pytest.fixture
def watched(site: OnSite) -> Iterator[Watch]:
    watch = Watch(site.url)
    yield watch
    assert not watch.faults


@pytest.fixture
def phone(browser: Browser, site: OnSite, watched: Watch) -> Iterator[Page]:
    context = browser.new_context(
        viewport=PHONE,
        base_url=site.url,
        device_scale_factor=2,
        permissions=["geolocation"],
        geolocation={"latitude": LAT + 0.0002, "longitude": LON + 0.0003, "accuracy": 14},
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watched.over(page)
    yield page
    context.close()


@pytest.fixture
def keep() -> Callable[[Page, str], None]:
    """Take a picture; for the documentation if it is to be taken anew."""
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = ROOT / kept if (kept := os.environ.get("FENGSUI_PICTURES")) else BUILD

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")
        assert (folder / f"{name}.png").stat().st_size > 10_000

    return take


def throttle(page: Page) -> Callable[[bool], None]:
    """Slow a phone's link down; what is returned cuts it off and joins it again."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def set_link(offline: bool) -> None:
        session.send("Network.emulateNetworkConditions", {**SLOW, "offline": offline})

    set_link(False)
    return set_link


def read_code(browser: Browser, site: OnSite, keep: Callable[[Page, str], None]) -> tuple[str, str]:
    """Look at the gateway's own page. Returns the code as it is to be typed, and the key's fingerprint."""
    context = browser.new_context(viewport=PHONE, device_scale_factor=2, locale="zh-CN")
    page = context.new_page()
    page.goto(site.page_url)
    page.fill("[name=name]", "李工")
    page.fill("[name=code]", SITE_CODE)
    page.locator("form button").last.click()
    expect(page.locator(".qr svg")).to_be_visible()
    keep(page, "provision-gateway")
    code = page.text_content(".code") or ""
    key = page.locator(".facts dd").first.text_content() or ""
    context.close()
    return code, key


def photograph() -> bytes:
    """A photo with what a camera writes of itself."""
    picture, about, octets = Image.new("RGB", (1600, 1200), "#7d8b95"), Image.Exif(), io.BytesIO()
    about[0x010F] = "SECRET-CAMERA"
    picture.save(octets, "JPEG", exif=about)
    return octets.getvalue()


def test_from_a_typed_code_to_the_first_record_and_a_signed_report(
    browser: Browser, site: OnSite, phone: Page, watched: Watch, keep: Callable[[Page, str], None]
) -> None:
    watched.expected |= {"ERR_INTERNET_DISCONNECTED", "status of 409"}
    code, key = read_code(browser, site, keep)
    cut = throttle(phone)
    sign_in_by_link(phone, code)
    fill_in(phone, code)
    keep(phone, "provision-claim")
    no_target_is_small(phone)

    cut(True)
    phone.click("#send")
    expect(phone.locator("#draft")).to_contain_text("没有网络")
    cut(False)
    began = time.monotonic()
    phone.wait_for_url(re.compile(r"/claim/\d+$"))
    expect(phone.locator(".steps [data-kind=record][data-state=done]")).to_have_count(1, timeout=PATIENCE_MS)
    print(f"from submit to the first committed record: {time.monotonic() - began:.1f} s")
    for kind in ("ask", "certificate", "mqtt", "configuration", "bus", "device"):
        expect(phone.locator(f".steps [data-kind={kind}][data-state=done]")).to_have_count(1, timeout=PATIENCE_MS)
    assert "液位 52 %" in (phone.text_content(".steps [data-kind=device]") or "")
    keep(phone, "provision-checklist")
    assert key

    try_the_siren(phone, site, keep)
    sign(phone)
    expect(phone.locator("#signed")).to_contain_text("王安全")
    phone.locator("#report").scroll_into_view_if_needed()
    keep(phone, "provision-report")
    number = phone.url.rpartition("/")[2]
    report = phone.request.get(f"/claim/{number}/report.pdf").body()
    assert report.startswith(b"%PDF")
    assert hashlib.sha256(report).hexdigest() == phone.text_content(".told .hash")
    (BUILD / "report.pdf").write_bytes(report)
    photo = phone.request.get(f"/claim/{number}/photo").body()
    assert photo.startswith(b"\xff\xd8")
    assert b"SECRET" not in photo
    with Image.open(io.BytesIO(photo)) as picture:
        assert max(picture.size) <= 1280


def sign_in_by_link(phone: Page, code: str) -> None:
    """Open the label's link without being signed in: the code survives the sign-in, and stands in no address."""
    phone.goto(f"/claim#{code}")
    phone.fill("#name", TECHNICIAN)
    phone.fill("#password", PASSWORD)
    phone.click("button.main")
    expect(phone.locator("#code")).to_have_value(code)
    assert code not in phone.url


def fill_in(phone: Page, code: str) -> None:
    """Type the code, and let the page find all the rest; drop the page half-way and go on with the draft."""
    phone.fill("#code", code.lower())
    phone.click("#locate")
    expect(phone.locator("#place")).to_contain_text("精度约 14 米")
    expect(phone.locator("#site")).to_have_value("yufu-chem")
    expect(phone.locator("#gateway")).to_have_value("gw-yufu-chem-0001")
    phone.select_option("#template", TEMPLATE)
    phone.set_input_files("#photo", {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photograph()})
    expect(phone.locator("#photo-ready")).to_contain_text("KiB")
    phone.fill("#note", "罐区东侧配电柜")
    phone.reload()
    phone.click("#take-draft")
    expect(phone.locator("#note")).to_have_value("罐区东侧配电柜")
    expect(phone.locator("#photo-ready")).to_contain_text("KiB")
    expect(phone.locator("#template")).to_have_value(TEMPLATE)


def no_target_is_small(phone: Page) -> None:
    shown = phone.locator(
        "#claim button:visible, #claim select:visible, #claim input:not(.hush):visible, #claim summary"
    )
    for target in shown.all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= REACH_PX, target.evaluate("node => node.outerHTML")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def try_the_siren(phone: Page, site: OnSite, keep: Callable[[Page, str], None]) -> None:
    phone.click(".steps .try button")
    deadline = time.monotonic() + 30
    while not site.siren_is_on():
        assert time.monotonic() < deadline, "the siren does not sound"
        time.sleep(0.05)
    expect(phone.locator(".judge")).to_be_visible(timeout=PATIENCE_MS)
    phone.locator(".judge").scroll_into_view_if_needed()
    keep(phone, "provision-trial")
    phone.click(".judge button[value=yes]")
    expect(phone.locator(".steps [data-kind=trial][data-state=done]")).to_have_count(1)
    while site.siren_is_on():
        assert time.monotonic() < deadline, "the siren goes on sounding"
        time.sleep(0.05)


def sign(phone: Page) -> None:
    phone.fill("#signer", "王安全")
    phone.locator("#canvas").scroll_into_view_if_needed()
    box = phone.locator("#canvas").bounding_box()
    assert box is not None
    phone.mouse.move(box["x"] + 40, box["y"] + 60)
    phone.mouse.down()
    for x, y in ((70, 25), (90, 80), (130, 40), (180, 90), (230, 50)):
        phone.mouse.move(box["x"] + x, box["y"] + y, steps=6)
    phone.mouse.up()
    phone.click("#signature button.main")


def test_a_desk_sees_the_same_pages_and_a_code_that_nobody_shows_is_refused_by_name(
    browser: Browser, site: OnSite, watched: Watch
) -> None:
    watched.expected |= {"status of 404", "status of 422"}
    context = browser.new_context(viewport=DESK, base_url=site.url)
    page = context.new_page()
    watched.over(page)
    sign_in_by_link(page, "7K3Q-9WZT")
    page.select_option("#site", "yufu-chem")
    page.click("#send")
    expect(page.locator("#trouble")).to_contain_text("这不是接入编码")
    page.fill("#code", make_code())
    page.click("#send")
    expect(page.locator("#trouble")).to_contain_text("没有网关正在显示此编码")
    page.screenshot(path=BUILD / "claim-desk.png")
    context.close()
