"""A browser goes to an OpenID provider of another host and comes back, past the pages' Content-Security-Policy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import bootstrap
from fleet.migrations import revisions
from fleet.settings import Settings
from tests.browser.conftest import DESK, PHONE
from tests.fleet.provider import providing, register
from tests.servers import free_port


@pytest.fixture
def issuer() -> Iterator[str]:
    with providing() as issuer:
        yield issuer


@pytest.fixture
def console(issuer: str, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    client = register(issuer, address)
    (tmp_path / "oidc.secret").write_text(client.client_secret)
    settings = Settings(
        data_dir=tmp_path, broker_password="p", secret_key="s", oidc_issuer=issuer, oidc_client_id=client.client_id,
        oidc_roles={"duty": Role.OPERATOR}, oidc_name="统一认证",
    )  # fmt: skip
    services = bootstrap(settings)
    revisions.upgrade(services.database.engine)
    server = make_server("127.0.0.1", port, create_app(services), threaded=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address
    services.live.close()
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)
    services.close()


@pytest.mark.peer
def test_a_browser_signs_in_by_the_provider(browser: Browser, issuer: str, console: str) -> None:
    httpx.put(f"{issuer}/users/s-1", json={"preferred_username": "李工", "groups": ["duty"]}).raise_for_status()
    context = browser.new_context(viewport=DESK, base_url=console)
    page = context.new_page()
    page.goto("/gateways")
    page.get_by_role("link", name="通过 统一认证 登录").click()
    page.locator("input[name=sub]").fill("s-1")
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{console}/gateways")
    expect(page.get_by_text("李工").first).to_be_attached()
    context.close()


@pytest.mark.peer
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_who_has_no_role_reads_why_and_the_page_fits(browser: Browser, console: str, viewport: dict[str, int]) -> None:
    context = browser.new_context(viewport=viewport, base_url=console)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/sign-in")
    page.locator("#provider").click()
    page.locator("input[name=sub]").fill("nobody@x.example")
    page.get_by_role("button", name="Authorize").click()
    expect(page.locator("#trouble")).to_contain_text("oidc_roles")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
