"""The texts of the laptop's commands: one table, `texts.toml`, with every text in Chinese and English."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("zh", "en")
FILE = Path(__file__).parent / "texts.toml"
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""Where a terminal says its language (POSIX, 8.2), the first that is set."""


@cache
def load() -> Mapping[str, tuple[str, ...]]:
    """Read the table: {key: (Chinese, English)}."""
    return {key: tuple(texts) for key, texts in tomllib.loads(FILE.read_text("utf-8")).items()}


def guess_language(environment: Mapping[str, str] = os.environ) -> str:
    """Return the language of the terminal: Chinese where it says so, else English."""
    said = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    return "zh" if said.startswith("zh") else "en"


class Texts:
    """The texts in one language."""

    def __init__(self, language: str) -> None:
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a text with its values put in. Raises KeyError if there is none."""
        return load()[key][self._column].format(**values)

    def find(self, key: str, otherwise: str) -> str:
        """Return a text without values, or the other one if the table has none."""
        texts = load().get(key)
        return texts[self._column] if texts else otherwise
