"""Regular expressions for lines of text that take time in proportion to the line, whatever the line holds.

A pattern is matched without going back: a repeat takes all it can and gives nothing back, and of alternatives the first
that fits is taken, as in a parsing expression grammar. Nothing is tried twice, so no line can make a pattern run away.
What this changes is small: ``\\d+\\d`` and ``.*,`` never match; ``[^,]*,`` is what to write.
"""

from __future__ import annotations

import re
from typing import NoReturn

from drivers.errors import SettingsError

OCTETS_MOST = 1000
"""Longest pattern."""

_TOKEN = re.compile(
    r"(?P<group>\((?!\?)|\(\?:|\(\?P<[A-Za-z_][A-Za-z0-9_]*>)"
    r"|(?P<close>\))"
    r"|(?P<repeat>[*+?]|\{(?:\d+(?:,\d*)?|,\d*)\})"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^1-9]|[^()\[\\*+?])",
    re.DOTALL,
)
"""What patterns are made of. Left out: looking around, references back, flags."""


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern so that it matches without going back. Raises SettingsError for one that is none."""
    if len(text) > OCTETS_MOST:
        _refuse(text, f"is longer than {OCTETS_MOST} characters", "split the instrument into several")
    try:
        re.compile(text, re.ASCII)
        return re.compile(_rewrite(text), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingsError(f"pattern '{text[:40]}' is none: {error}", hint="see docs.python.org/library/re") from error


def _rewrite(text: str) -> str:
    """Make every group atomic and every repeat of an atom possessive; a group can only be left out, not repeated."""
    out: list[str] = []
    opened: list[int] = []
    unit = -1  # where in `out` the unit begins that a repeat would repeat; -1: there is none
    is_group = False
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            _refuse(text, f"has '{text[at : at + 4]}'", "groups are (...), (?:...) and (?P<name>...)")
        word, kind = token[0], token.lastgroup
        if kind == "group":
            opened.append(len(out))
            out.append("(?>" + word)
            unit = -1
        elif kind == "close":
            out.append("))")
            unit, is_group = opened.pop(), True
        elif kind == "repeat":
            _repeat(text, out, unit, word, is_group=is_group, rest=text[token.end() :])
            unit = -1
        else:
            unit, is_group = (-1, False) if word in "|^$" else (len(out), False)
            out.append(word)
        at = token.end()
    return "".join(out)


def _repeat(text: str, out: list[str], unit: int, word: str, *, is_group: bool, rest: str) -> None:
    if unit < 0 or rest[:1] in {"?", "+"}:
        _refuse(text, f"repeats with '{word}{rest[:1]}'", "one of * + ? {n} {n,m} after what is repeated")
    if is_group and word != "?":
        _refuse(text, "repeats a group", "a group may only be left out, as in (...)?; write it as often as it comes")
    if is_group:
        out[unit] = "(?>" + out[unit]
        out.append("|)")
    elif out[unit] == "." and word != "?" and rest[:1] not in {"", ")", "|", "$"}:
        _refuse(text, f"goes on after '.{word}'", "that takes the whole line; write [^,]* or the like")
    else:
        out.append(word + "+")


def _refuse(text: str, what: str, hint: str) -> NoReturn:
    raise SettingsError(f"pattern '{text[:40]}' {what}", hint=hint)
