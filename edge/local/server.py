"""Serves the gateway's own page: signs in, renders, hands over what operators ask.

One request per connection, bounded in time; the page polls. Nobody sees anything without the site code. Every handler
is a coroutine: Microdot would run a plain function in a thread, beside the agent's own loop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from microdot import Microdot, Request, Response

from edge.errors import EdgeError
from edge.local.alarm_pages import Scene, make_alarm, make_alarms
from edge.local.door import Entered, SiteDoor
from edge.local.gate import SESSION_S, Session
from edge.local.gateway_page import make_gateway
from edge.local.order import Arranged, arrange, count_urgent
from edge.local.plant_pages import choose, make_equipment, make_values
from edge.local.requests import FormError, clean_name, own_path, read_operation, read_page
from edge.local.shell import Look
from edge.local.sign_in_page import make_missing, make_sign_in
from edge.local.site import Site
from edge.local.technician import Technician
from edge.local.texts import LANGUAGES, Texts
from edge.operating import OperationError
from wire.onsite import LINE_MOST
from wire.onsite import PATH as ON_SITE
from wire.sample import is_bad

log = logging.getLogger(__name__)

REQUEST_S = 15.0
CONNECTIONS_MOST = 64
COOKIE = "fengsui-session"
LARGE_MOST = 4
"""Requests of laptops that are in memory at once."""
THEMES = ("light", "dark")
YEAR_S = 365 * 86_400
STATIC = Path(__file__).parent / "static"
TYPES = {
    "tokens.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All that is served as it is."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
OWN_FETCHES = ("", "same-origin", "none")
"""What a browser says of a form that came from our own page; old ones say nothing."""


class _App(Microdot):
    """A Microdot whose connections are few and end."""

    def __init__(self) -> None:
        super().__init__()
        self._answering: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop listening, and end the connections that are open."""
        self.server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self.server.wait_closed()

    async def handle_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, or close the connection when it takes too long or there are too many."""
        task = asyncio.current_task()
        if task is None or len(self._answering) >= CONNECTIONS_MOST:
            writer.close()
            return
        self._answering.add(task)
        try:
            async with asyncio.timeout(REQUEST_S):
                await self._answer(reader, writer)
        except OSError as error:  # whoever asked has gone, or took too long
            log.debug("a request was not answered: %r", error)
        finally:
            self._answering.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Microdot's own would print a traceback for whatever is no request, and so let strangers fill the journal."""
        try:
            request = await Request.create(self, reader, writer, writer.get_extra_info("peername"))
        except (ValueError, EOFError):
            answer = Response("", 400, dict(HEADERS))
        else:
            if request.path == ON_SITE:
                request.max_content_length = LINE_MOST
            answer = await self.dispatch_request(request)
        await answer.write(writer)


class LocalServer:
    """The page of one running gateway. ``certificate`` is (certificate, key) to serve it by TLS."""

    def __init__(
        self,
        site: Site,
        door: SiteDoor,
        technician: Technician,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._site = site
        self._door = door
        self._technician = technician
        self._certificate = certificate
        self._large = asyncio.Semaphore(LARGE_MOST)
        self._is_open = False
        self._app = _App()
        self._app.after_request(_protect)
        self._app.after_error_request(_protect)
        self._route()

    def _route(self) -> None:
        app = self._app
        app.get("/static/<name>")(_serve_static)
        app.get("/choose")(_choose)
        app.get("/sign-in")(self._show_sign_in)
        app.post("/sign-in")(self._sign_in)
        app.post("/sign-out")(self._sign_out)
        app.post("/operate")(self._operate)
        app.post(ON_SITE)(self._answer_technician)
        app.get("/")(self._show_alarms)
        app.get("/alarm")(self._show_alarm)
        app.get("/values")(self._show_values)
        app.get("/equipment")(self._show_equipment)
        app.get("/gateway")(self._show_gateway)
        app.errorhandler(404)(self._show_missing)

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises EdgeError if the address or the certificate cannot be had."""
        context = _load_certificate(*self._certificate) if self._certificate else None
        try:
            await self._app.start_server(host, port, ssl=context, start_serving=False)
            await self._app.server.start_serving()
        except OSError as error:
            raise EdgeError(
                f"[local] listen {host}:{port} cannot be had: {error.strerror}",
                hint='another program has it: choose another port, or listen = "" for no page',
            ) from error
        self._is_open = True
        listening: int = self._app.server.sockets[0].getsockname()[1]
        return listening

    async def stop(self) -> None:
        """Stop listening."""
        if self._is_open:
            await self._app.close()

    # who is there

    def _session(self, request: Request) -> Session | None:
        return self._door.find(request.cookies.get(COOKIE, ""))

    def _look(self, request: Request, session: Session | None = None, urgent: int = 0) -> Look:
        """For whom a page is made. What came of the last form is told once, and not to the script that refreshes."""
        notice = None
        if session is not None and "X-Refresh" not in request.headers:
            notice, session.notice = session.notice, None
        identity = self._site.identity()
        return Look(
            texts=_texts(request),
            theme=_theme(request),
            here=own_path(request.url),
            gateway=identity.title or identity.gateway,
            session=session,
            notice=notice,
            urgent=urgent,
        )

    def _show(self, request: Request, make: Callable[[Look, Arranged], str]) -> Response:
        """Show a page to those who have signed in; the others are sent to do so."""
        session = self._session(request)
        if session is None:
            return _redirect("/sign-in")
        arranged = arrange(self._site.alarms())
        return _html(make(self._look(request, session, count_urgent(arranged)), arranged))

    async def _show_sign_in(self, request: Request) -> Response:
        if self._session(request) is not None:
            return _redirect("/")
        return _html(make_sign_in(self._look(request)))

    async def _sign_in(self, request: Request) -> Response:
        texts = _texts(request)
        if request.headers.get("Sec-Fetch-Site", "") not in OWN_FETCHES:
            return self._turn_away(request, 403, texts("form-stale"))
        form = _form(request)
        name, code = clean_name(form.get("name", "")), form.get("code", "")
        if not name:
            return self._turn_away(request, 422, texts("name-missing"))
        entered = await self._door.enter(str(request.client_addr[0]), code, name)
        if not isinstance(entered, Entered):
            if entered.wait_s <= 0:
                return self._turn_away(request, 401, texts("wrong-code"), name)
            seconds = -int(-entered.wait_s // 1)
            answer = self._turn_away(request, 429, texts("wait", seconds=seconds), name)
            answer.headers["Retry-After"] = str(seconds)
            return answer
        answer = _redirect("/gateway" if self._site.arrival() else "/")
        _set_cookie(answer, COOKIE, entered.token, int(SESSION_S), self._attributes)
        return answer

    @property
    def _attributes(self) -> str:
        return "; HttpOnly; SameSite=Strict" + ("; Secure" if self._certificate else "")

    def _turn_away(self, request: Request, status: int, text: str, name: str = "") -> Response:
        return _html(make_sign_in(self._look(request), text, name), status)

    async def _sign_out(self, request: Request) -> Response:
        session = self._session(request)
        if session is not None and _is_own_form(request, session):
            self._door.leave(request.cookies.get(COOKIE, ""))
        return _redirect("/sign-in")

    async def _answer_technician(self, request: Request) -> Response:
        """Answer a laptop. It shows its token in the body, which no page of somebody else's can know."""
        async with self._large:
            try:
                octets = request.body or await _read_stream(request)
            except asyncio.IncompleteReadError:
                return Response("", 400)
            answer = await self._technician.reply(octets, str(request.client_addr[0]))
        return Response(answer, 200, {"Content-Type": "application/json"})

    # what is asked

    async def _operate(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _redirect("/sign-in")
        texts = _texts(request)
        form = _form(request)
        if not _is_own_form(request, session):
            look = self._look(request, session)
            return _html(make_missing(look, texts("form-stale")), 403)
        session.notice = await self._do(texts, form, session.name)
        return _redirect(own_path(form.get("next", "/")))

    async def _do(self, texts: Texts, form: dict[str, str], by: str) -> tuple[bool, str]:
        try:
            operation = read_operation(texts, form, by)
            detail = self._site.operate(operation)
        except FormError as error:
            return True, str(error)
        except OperationError as error:
            return True, texts("refused", reason=f"{error} {error.hint}".strip())
        what = f"{texts(f'action-{operation.action}')} {operation.request.alarm}"
        if not await self._site.keep():
            return True, texts("not-kept", what=what, detail=detail)
        return False, texts("done", what=what, detail=detail)

    # pages

    def _scene(self, arranged: Arranged) -> Scene:
        site = self._site
        return Scene(arranged=arranged, tags=site.tags(), limits=site.limits(), now_ns=site.now_ns())

    async def _show_alarms(self, request: Request) -> Response:
        page = read_page(request.args.get("page", ""))
        return self._show(request, lambda look, arranged: make_alarms(look, self._scene(arranged), page))

    async def _show_alarm(self, request: Request) -> Response:
        name = request.args.get("name", "")

        def make(look: Look, arranged: Arranged) -> str:
            scene = self._scene(arranged)
            alarm = next((one for one in self._site.alarms() if one.name == name), None)
            if alarm is None:
                return make_missing(look, look.texts("alarm-gone", name=name))
            info = scene.tags.get(alarm.tag)
            reading = self._site.readings([info]).get(info.name) if info else None
            return make_alarm(look, scene, alarm, reading)

        return self._show(request, make)

    async def _show_values(self, request: Request) -> Response:
        device, page = request.args.get("device", ""), read_page(request.args.get("page", ""))

        def make(look: Look, _arranged: Arranged) -> str:
            shown = choose(self._site.tags().values(), self._site.limits(), device, page)
            return make_values(look, shown, self._site.readings(shown.tags), self._site.devices(), device)

        return self._show(request, make)

    async def _show_equipment(self, request: Request) -> Response:
        def make(look: Look, _arranged: Arranged) -> str:
            tags = self._site.tags()
            found = self._site.readings(tags.values())
            bad = Counter(tags[name].device for name, reading in found.items() if is_bad(reading.quality))
            site = self._site
            return make_equipment(look, site.health(), site.devices(), tags.values(), bad, site.now_ns())

        return self._show(request, make)

    async def _show_gateway(self, request: Request) -> Response:
        site = self._site
        return self._show(
            request,
            lambda look, _: make_gateway(
                look, site.identity(), site.health(), site.state(), site.now_ns(), site.arrival()
            ),
        )

    async def _show_missing(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _redirect("/sign-in")
        return _html(make_missing(self._look(request, session), ""), 404)


def _load_certificate(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise EdgeError(
            f"[local] cert_file {certificate} and key_file {key} cannot be used: {error}",
            hint="give a certificate and its key in PEM, or leave both out",
        ) from error
    return context


def _form(request: Request) -> dict[str, str]:
    """The fields of a form, whatever came: Microdot's own reader stumbles over a lone %."""
    return dict(parse_qsl((request.body or b"").decode("utf-8", "replace"), keep_blank_values=True))


async def _read_stream(request: Request) -> bytes:
    """Read a body that is too large for a page's form. Raises asyncio.IncompleteReadError."""
    octets: bytes = await request.stream.readexactly(request.content_length)  # type: ignore[union-attr]
    return octets


async def _protect(_request: Request, response: Response) -> Response:
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def _is_own_form(request: Request, session: Session) -> bool:
    """Whether a form came from a page that we gave to this session."""
    is_ours = request.headers.get("Sec-Fetch-Site", "") in OWN_FETCHES
    return is_ours and session.owns(_form(request).get("form_token", ""))


def _texts(request: Request) -> Texts:
    return Texts(request.cookies.get("language", ""))


def _theme(request: Request) -> str:
    return "dark" if request.cookies.get("theme") == "dark" else "light"


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, {"Content-Type": "text/html; charset=utf-8"})


def _redirect(path: str) -> Response:
    return Response("", 303, {"Location": path})


def _set_cookie(response: Response, name: str, value: str, life_s: int, attributes: str) -> None:
    """Microdot's own knows no SameSite."""
    cookies: list[Any] = response.headers.setdefault("Set-Cookie", [])
    cookies.append(f"{name}={value}; Path=/; Max-Age={life_s}{attributes}")


async def _choose(request: Request) -> Response:
    """Remember a language or a theme, and go back."""
    answer = _redirect(own_path(request.args.get("next", "/")))
    for name, known in (("language", LANGUAGES), ("theme", THEMES)):
        value = request.args.get(name)
        if value in known:
            _set_cookie(answer, name, value, YEAR_S, "; SameSite=Lax")
    return answer


async def _serve_static(_request: Request, name: str) -> Response:
    if name not in TYPES:
        return Response("", 404)
    octets = await asyncio.to_thread((STATIC / name).read_bytes)
    return Response(octets, 200, {"Content-Type": TYPES[name], "Cache-Control": "no-cache"})
