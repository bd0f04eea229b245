"""Every text in both languages, none missing, none unused; the same tokens as the console."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from edge.local.shell import PAGES
from edge.local.texts import LANGUAGES, Texts, load
from edge.local.words import say_duration, say_quality, say_size, say_time, say_value
from wire.alarm import ACTIONS, State
from wire.sample import Quality

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "edge" / "local").glob("*.py"))
FAMILIES = {
    "page": tuple(PAGES),
    "action": ACTIONS,
    "state": tuple(State),
    "clock": ("synced", "holdover", "told", "unset"),
    "output": ("on", "off", "test", "unknown", "inhibited", "locked"),
    "waits": ("unscanned", "unassigned", "in-use", "lapsed"),
    "lane": ("A", "M", "W"),
    "only": ("budget", "rate"),
    "trial": ("on", "kept", "returned"),
    "quality": (
        "good",
        "uncertain",
        "bad",
        *(str(int(one)) for one in Quality if one & 0x3F),
    ),
    "level": (
        "high-high", "high", "low", "low-low", "deviation", "rate", "discrete", "bit", "bad", "silent", "total",
        "combined", "output-fault", "commanded",
    ),
    "age": ("s", "min", "h", "d"),
    "for": ("s", "min", "h", "d"),
    "about": ("shelve", "remove"),
}  # fmt: skip


def words_used() -> set[str]:
    """Every word in quotes in the sources: a text that is used is one of them, or one of a family."""
    text = "\n".join(path.read_text("utf-8") for path in SOURCES)
    return set(re.findall(r"""["']([a-z][A-Za-z0-9-]*)["']""", text))


@pytest.mark.parametrize("key", load())
def test_every_text_is_there_in_both_languages_with_the_same_values(key):
    texts = load()[key]
    assert len(texts) == len(LANGUAGES)
    assert all(text.strip() for text in texts)
    values = [{name for _, name, _, _ in string.Formatter().parse(text) if name is not None} for text in texts]
    assert values[0] == values[1] or (values[0] | values[1]) <= {"count", "bad"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_on_the_wire_has_a_word(family):
    missing = [name for name in FAMILIES[family] if f"{family}-{name}" not in load()]
    assert not missing


def test_no_text_is_unused():
    families = {f"{family}-{name}" for family, names in FAMILIES.items() for name in names}
    assert not load().keys() - words_used() - families


def test_chinese_is_meant_where_nobody_has_chosen():
    assert Texts("").language == "zh"
    assert Texts("klingon")("page-alarms") == "报警"
    assert Texts("en")("page-alarms") == "Alarms"


def test_name_without_a_word_is_shown_as_it_is():
    assert Texts("zh").word("level", "my-own-rule") == "my-own-rule"


def test_values_keep_their_units_and_a_dash_is_no_value():
    zh = Texts("zh")
    assert say_value(zh, 86.4, "%") == "86.4\u00a0%"
    assert say_value(zh, None, "%") == "—"
    assert say_value(zh, True) == "是"
    assert say_value(Texts("en"), float("nan"), "m") == "nan\u00a0m"


def test_quality_that_a_newer_release_made_is_told_by_its_class():
    assert say_quality(Texts("en"), 0x9F) == "Bad"
    assert say_quality(Texts("en"), Quality.BAD_TIMEOUT) == "Bad: no answer"


def test_ages_and_sizes_are_told_in_their_largest_unit():
    en = Texts("en")
    assert [say_duration(en, "age", s) for s in (-1, 0.4, 61, 7300, 200_000)] == [
        "0 s ago", "0 s ago", "1 min ago", "2 h ago", "2 d ago",
    ]  # fmt: skip
    assert [say_size(n) for n in (0, 999, 1_500, 412_000_000, 2_000_000_000)] == [
        "0 B", "999 B", "1.5 kB", "412 MB", "2 GB",
    ]  # fmt: skip


def test_time_that_is_unknown_is_told_as_such():
    assert say_time(Texts("en"), None, None) == "time unknown"


def test_the_page_looks_like_the_console():
    own = (ROOT / "edge/local/static/tokens.css").read_text("utf-8")
    assert own == (ROOT / "fleet/console/static/tokens.css").read_text("utf-8")
