"""What a form of the page asks for, as an `Operation`; and which addresses it may lead back to. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge.errors import EdgeError
from edge.local.alarm_pages import NEEDS_REASON
from edge.local.texts import Texts
from edge.operating import Operation
from wire.alarm import ACTIONS, SHELVE_MOST_MINUTES, AlarmRequest

NAME_MOST = 64
COMMENT_MOST = 500
OCCURRENCE_DIGITS_MOST = 20


class FormError(EdgeError):
    """A form that cannot be carried out. The page says why; nothing has changed."""


def read_operation(texts: Texts, form: Mapping[str, str], by: str) -> Operation:
    """Read what a form asks for. Raises FormError."""
    action, alarm, occurrence = form.get("action", ""), form.get("alarm", ""), form.get("occurrence", "0")
    is_number = occurrence.isascii() and occurrence.isdecimal() and len(occurrence) <= OCCURRENCE_DIGITS_MOST
    if action not in ACTIONS or not alarm or not is_number:
        raise FormError(texts("form-stale"))
    comment = form.get("comment", "").strip()[:COMMENT_MOST]
    if action in NEEDS_REASON and not comment:
        raise FormError(texts("form-wrong", reason=texts("reason-missing")))
    minutes = _read_minutes(texts, form.get("minutes", "")) if action == "shelve" else 0.0
    request = AlarmRequest(alarm=alarm, occurrence=int(occurrence), minutes=minutes, comment=comment)
    return Operation(action=action, request=request, by=by, where="page")


def _read_minutes(texts: Texts, text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes <= SHELVE_MOST_MINUTES:
        raise FormError(texts("form-wrong", reason=texts("minutes-wrong", most=SHELVE_MOST_MINUTES)))
    return minutes


def clean_name(text: str) -> str:
    """Return a name as it goes into the journal: one line of what can be printed; empty if it is none."""
    name = " ".join("".join(sign for sign in text if sign.isprintable()).split())
    return name if len(name) <= NAME_MOST else ""


def own_path(text: str) -> str:
    """Return an address of this gateway, the first page if it would lead elsewhere or break a header."""
    is_own = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isascii() and text.isprintable()
    return text if is_own and " " not in text else "/"


def read_page(text: str) -> int:
    """Read the number of a page of a list; the first one if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
