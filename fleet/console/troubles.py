"""Pages for what went wrong."""

from __future__ import annotations

from flask import render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext
from werkzeug.exceptions import HTTPException

TROUBLES = {
    400: (lazy_gettext("The request was not understood"), lazy_gettext("Go back, load the page again, and repeat it.")),
    403: (lazy_gettext("Not allowed"), lazy_gettext("Your account may not do that.")),
    404: (lazy_gettext("Nothing here"), lazy_gettext("There is no page at this address.")),
    405: (lazy_gettext("Nothing here"), lazy_gettext("There is no page at this address.")),
    500: (
        lazy_gettext("Something went wrong"),
        lazy_gettext("It has been written to the log. Gateways are not affected."),
    ),
    503: (lazy_gettext("The database does not answer"), lazy_gettext("Gateways keep their data until it is back.")),
}


def show_trouble(error: HTTPException) -> ResponseReturnValue:
    """Answer an HTTP error with its page; a program that asked for something else gets JSON."""
    status = error.code if error.code in TROUBLES else 500
    if request.path.startswith("/api/") or request.accept_mimetypes.best == "application/json":
        return {"message": error.name}, error.code or 500
    kept = {name: value for name, value in error.get_headers() if name == "Allow"}
    return show_status(status), status, kept


def show_status(status: int, detail: str = "") -> str:
    """The page of a status."""
    title, text = TROUBLES[status]
    return render_template("console/trouble.html", title=title, text=text, code=status, detail=detail)
