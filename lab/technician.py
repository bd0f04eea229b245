"""A field technician with a phone: signs in at the console and fills in the page that a gateway's code opens."""

from __future__ import annotations

import asyncio
import html
import re
import secrets
from collections.abc import Mapping
from types import TracebackType

import aiohttp

from lab.errors import LabError
from lab.site_file import Identity

NAME = "technician"
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
TROUBLE = re.compile(r'role="alert">(.*?)</', re.DOTALL)
WITHIN_S = 30.0
LEADS_ON, BUSY = (302, 303), 503
TRIES, TRY_AGAIN_S = 10, 2.0


class Technician:
    """Somebody on site. Used as ``async with``, which signs in."""

    def __init__(self, url: str, password: str) -> None:
        self._password = password
        # The jar takes cookies of addresses without a name as well.
        self._browser = aiohttp.ClientSession(
            url, cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(WITHIN_S)
        )

    async def __aenter__(self) -> Technician:
        """Sign in. Raises LabError."""
        try:
            await self._post("/sign-in", {"name": NAME, "password": self._password})
        except LabError:
            await self._browser.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the phone away."""
        await self._browser.close()

    async def submit(self, code: str, identity: Identity, template: str, variables: Mapping[str, str | int]) -> str:
        """Fill in the page and send it. ``code`` as scanned or typed. Returns the address of the checklist.

        Raises LabError with the page's own words.
        """
        given = {f"var.{template}.{name}": str(value) for name, value in variables.items()}
        form = {
            "code": code,
            "request_key": secrets.token_hex(16),
            "site": identity.site,
            "template": template,
            "gateway": identity.id,
            "title": identity.title,
            **given,
        }
        return await self._post("/claim", form)

    async def _post(self, path: str, form: Mapping[str, str]) -> str:
        """Send a form of a page, again while the fleet says that it has too much to do. Returns where that leads."""
        for _ in range(TRIES):
            status, words = await self._try(path, form)
            if status in LEADS_ON:
                return words
            if status != BUSY:
                break
            await asyncio.sleep(TRY_AGAIN_S)
        raise LabError(f"the page {path} says: {words or status}", hint="see the fleet's log")

    async def _try(self, path: str, form: Mapping[str, str]) -> tuple[int, str]:
        """Send a form once. Returns the status, and where it leads or what the page says is wrong."""
        try:
            async with self._browser.get(path) as shown:
                if shown.status == BUSY:
                    return BUSY, ""
                token = CSRF.search(await shown.text())
            if token is None:
                raise LabError(f"the page {path} has no form", hint="see the fleet's log")
            sent = {**form, "csrf_token": token[1]}
            async with self._browser.post(path, data=sent, allow_redirects=False) as answer:
                if answer.status in LEADS_ON:
                    return answer.status, answer.headers["Location"]
                trouble = TROUBLE.search(await answer.text())
                return answer.status, html.unescape(re.sub(r"<[^>]+>", "", trouble[1])).strip() if trouble else ""
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LabError(f"the page {path} does not answer: {error}", hint="see the fleet's log") from error
