"""Takes secrets out of what leaves a gateway for people to read. Pure."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
WORDS = "|".join(
    (
        "password|passwd|passphrase|token|secret|credential|claim|pin",
        "(?:site|local|claim)[ _-]?code",
        "(?:api|private)[ _-]?key",
    )
)
_NAME = re.compile(rf"(?:^|[_-])(?:{WORDS})s?(?:$|[_-])", re.IGNORECASE)
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&)]+)"
_SAID = re.compile(rf"(\b(?:\w*_)?(?:{WORDS})\b[\"']?\s*(?:[=:]|\bis\b)\s*){_VALUE}", re.IGNORECASE)
_USER = re.compile(r"(\w://)[^/\s@]+@")
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)


def hide_in_text(text: str) -> str:
    """Return a text without the passwords, tokens and codes that it names, and without who signs in by an address."""
    text = _USER.sub(rf"\1{HIDDEN}@", _SAID.sub(rf"\1{HIDDEN}", text))
    return _BEARER.sub(rf"\1 {HIDDEN}", text)


def hide_in_document(value: Any) -> Any:
    """Return a document without the values of its secret keys. The name of a file that holds a secret may be told."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if _is_secret(str(key)) and inner else hide_in_document(inner) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [hide_in_document(inner) for inner in value]
    return hide_in_text(value) if isinstance(value, str) else value


def _is_secret(key: str) -> bool:
    return bool(_NAME.search(key)) and not key.endswith("_file")
