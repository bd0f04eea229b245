"""A real browser on a real server over a seeded fleet. A page that errs or asks a foreign host fails its test."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from fleet.app import create_app
from tests.browser.district import PASSWORD, USER, District

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESK = {"width": 1360, "height": 800}
PHONE = {"width": 390, "height": 844}
HURRY = """{
    const wait = window.setTimeout.bind(window);
    window.setTimeout = (work, ms, ...rest) => wait(work, ms > 1000 && ms <= 2000 ? 300 : ms, ...rest);
}"""
"""Pages look for news every two seconds, which is what a test would wait for most of its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = pytest.mark.skip(reason=f"no browser at {CHROMIUM}: apt-get install chromium fonts-noto-cjk")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not Path(CHROMIUM).exists():
                item.add_marker(missing)


@contextmanager
def serving(district: District) -> Iterator[str]:
    app = create_app(district.services)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="web", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        district.services.live.close()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@pytest.fixture(scope="package")
def district(tmp_path_factory: pytest.TempPathFactory) -> Iterator[District]:
    district = District(tmp_path_factory.mktemp("fleet"))
    district.settle()
    district.keep_talking()
    yield district
    district.close()


@pytest.fixture(scope="package")
def address(district: District) -> Iterator[str]:
    with serving(district) as address:
        yield address


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Watch:
    """What a page must not do."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.faults: list[str] = []
        self.expected: set[str] = set()

    def over(self, page: Page) -> None:
        page.on("console", lambda message: self._note(message.type in ("error", "warning"), f"console: {message.text}"))
        page.on("pageerror", lambda error: self._note(True, f"script: {error}"))
        page.on("request", lambda request: self._note(self._foreign(request.url), f"foreign host: {request.url}"))

    def _foreign(self, url: str) -> bool:
        return not url.startswith((f"{self.address}/", "data:", "blob:"))

    def _note(self, bad: bool, text: str) -> None:
        if bad and not any(word in text for word in self.expected):
            self.faults.append(text)


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(address)
    yield watch
    assert not watch.faults


@pytest.fixture
def stranger(browser: Browser, address: str, watch: Watch) -> Iterator[Page]:
    """A page of somebody who has not signed in."""
    context = browser.new_context(viewport=DESK, base_url=address)
    page = context.new_page()
    watch.over(page)
    yield page
    context.close()


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.fill("#name", USER)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_url("**/")


def take_cookies(browser: Browser, address: str) -> list[dict[str, object]]:
    """Sign in, and return the cookies of one who has."""
    context = browser.new_context(base_url=address)
    sign_in(context.new_page())
    cookies = [dict(cookie) for cookie in context.cookies()]
    context.close()
    return cookies


@pytest.fixture(scope="package")
def pass_cookies(browser: Browser, address: str) -> list[dict[str, object]]:
    """The cookies of one who has signed in."""
    return take_cookies(browser, address)


@contextmanager
def opened(
    browser: Browser, address: str, cookies: list[dict[str, object]], viewport: dict[str, int], scale: float = 1,
    language: str = "", theme: str = "", scripts: bool = True,
) -> Iterator[BrowserContext]:  # fmt: skip
    context = browser.new_context(
        viewport=viewport, base_url=address, device_scale_factor=scale, java_script_enabled=scripts
    )
    chosen = [{"name": n, "value": v, "url": address} for n, v in (("language", language), ("theme", theme)) if v]
    context.add_cookies([*cookies, *chosen])
    context.set_default_timeout(10_000)
    context.add_init_script(HURRY)
    yield context
    context.close()


@pytest.fixture
def desk(browser: Browser, address: str, pass_cookies: list[dict[str, object]], watch: Watch) -> Iterator[Page]:
    with opened(browser, address, pass_cookies, DESK) as context:
        page = context.new_page()
        watch.over(page)
        yield page


@pytest.fixture
def phone(browser: Browser, address: str, pass_cookies: list[dict[str, object]], watch: Watch) -> Iterator[Page]:
    with opened(browser, address, pass_cookies, PHONE, scale=2) as context:
        page = context.new_page()
        watch.over(page)
        yield page
