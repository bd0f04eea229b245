"""The page that asks for the site code, and the one for what is not there."""

from __future__ import annotations

from edge.local.code import CODE_MOST
from edge.local.markup import tag
from edge.local.requests import NAME_MOST
from edge.local.shell import Look, make_page


def make_sign_in(look: Look, fault: str = "", name: str = "") -> str:
    """Make the form. ``fault`` says why the last try was turned away; a known name is kept."""
    t = look.texts
    form = tag(
        "form",
        tag("p", fault, class_="notice fault", role="alert") if fault else None,
        tag(
            "p",
            tag("label", t("your-name"), for_="name"),
            tag(
                "input",
                id="name",
                name="name",
                value=name,
                required=True,
                maxlength=NAME_MOST,
                autocomplete="name",
                autofocus=not name,
            ),
            tag("small", t("your-name-why")),
            class_="field",
        ),
        tag(
            "p",
            tag("label", t("site-code"), for_="code"),
            tag(
                "input",
                id="code",
                name="code",
                type="password",
                required=True,
                maxlength=CODE_MOST,
                autocomplete="current-password",
                autofocus=bool(name),
            ),
            class_="field",
        ),
        tag("button", t("sign-in"), class_="button main"),
        method="post",
        action="/sign-in",
        class_="panel gate",
    )
    return make_page(look, "", t("sign-in"), form)


def make_missing(look: Look, text: str) -> str:
    """Make the page for what is not there or was not done, with the way back."""
    t = look.texts
    back = tag("a", t("back"), class_="button main", href="/")
    return make_page(look, "", t("not-found") if not text else t("not-done"), tag("p", text) if text else None, back)
