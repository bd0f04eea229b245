"""What every page has around it: head, navigation, notice, and the choice of language and theme."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from edge.local.gate import Session
from edge.local.markup import Child, Markup, tag
from edge.local.texts import LANGUAGES, Texts

PAGES = {"alarms": "/", "values": "/values", "equipment": "/equipment", "gateway": "/gateway"}
"""The pages of the navigation: name and address."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a page is made. ``here`` is its address on the gateway, ``notice`` what came of the last form."""

    texts: Texts
    theme: str
    here: str
    gateway: str
    session: Session | None = None
    notice: tuple[bool, str] | None = None
    urgent: int = 0
    """How many alarms nobody has acknowledged: the badge of the navigation."""


def make_page(look: Look, name: str, title: str, *content: Child) -> str:
    """Make a whole document. ``name`` is a key of `PAGES`, or empty."""
    t = look.texts
    body = tag(
        "body",
        tag("a", t("skip"), class_="skip", href="#main"),
        _top(look),
        tag("p", t("lost"), id="lost", class_="notice fault", role="alert", hidden=True),
        tag("main", tag("h1", title), _notice(look), content, id="main", tabindex=-1),
        _navigation(look, name) if look.session else None,
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · {look.gateway}"),
        tag("link", rel="icon", href="/static/icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="/static/tokens.css"),
        tag("link", rel="stylesheet", href="/static/page.css"),
        tag("script", src="/static/page.js", defer=True) if look.session else None,
    )
    return "<!doctype html>" + tag(
        "html", head, body, lang="zh-CN" if t.language == "zh" else "en", data_theme=look.theme
    )


def _top(look: Look) -> Markup:
    t = look.texts
    language = next(one for one in LANGUAGES if one != t.language)
    theme = "light" if look.theme == "dark" else "dark"
    return tag(
        "header",
        tag("b", look.gateway, class_="name"),
        tag("a", t("other-language"), class_="quiet", href=_choice(look, "language", language), lang=language),
        tag("a", t(theme), class_="quiet", href=_choice(look, "theme", theme)),
        class_="top",
    )


def _choice(look: Look, what: str, value: str) -> str:
    return f"/choose?{urlencode({what: value, 'next': look.here})}"


def _notice(look: Look) -> Markup | None:
    if look.notice is None:
        return None
    is_fault, text = look.notice
    return tag("p", text, class_="notice fault" if is_fault else "notice", role="alert" if is_fault else "status")


def _navigation(look: Look, name: str) -> Markup:
    t = look.texts
    links = [
        tag(
            "a",
            t(f"page-{page}"),
            tag("span", look.urgent, class_="badge") if page == "alarms" and look.urgent else None,
            href=path,
            aria_current="page" if page == name else None,
        )
        for page, path in PAGES.items()
    ]
    return tag("nav", links, aria_label=t("navigation"), id="nav", data_live=True)


def make_form(look: Look, path: str, *content: Child, **attributes: str) -> Markup:
    """Make a form that only a page of this session can send."""
    token = look.session.form_token if look.session else ""
    return tag(
        "form",
        tag("input", type="hidden", name="form_token", value=token),
        content,
        method="post",
        action=path,
        **attributes,
    )


def make_facts(pairs: dict[str, Child]) -> Markup:
    """Make a list of names and what they are; what is None is left out."""
    rows = [tag("div", tag("dt", key), tag("dd", value)) for key, value in pairs.items() if value is not None]
    return tag("dl", rows, class_="facts")


def make_panel(title: str, *content: Child) -> Markup:
    """Make a panel with its heading."""
    return tag("section", tag("h2", title), content, class_="panel")


def make_pager(look: Look, path: str, page: int, pages: int, **query: str) -> Markup | None:
    """Make the way through a long list; None where it is short."""
    if pages <= 1:
        return None
    t = look.texts

    def step(to: int, text: str) -> Markup:
        if not 1 <= to <= pages:
            return tag("span", text, class_="button off")
        return tag("a", text, class_="button", href=f"{path}?{urlencode({**query, 'page': to})}")

    here = tag("span", t("page-of", page=page, pages=pages))
    return tag("div", step(page - 1, t("earlier")), here, step(page + 1, t("later")), class_="pager")
