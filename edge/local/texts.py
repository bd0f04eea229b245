"""The texts of the gateway's page: one table, `texts.toml`, with every text in each language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("zh", "en")
"""The first one is meant where nobody has chosen."""
FILE = Path(__file__).parent / "texts.toml"


@cache
def load() -> Mapping[str, tuple[str, ...]]:
    """Read the table: {key: (Chinese, English)}."""
    return {key: tuple(texts) for key, texts in tomllib.loads(FILE.read_text("utf-8")).items()}


class Texts:
    """The texts in one language. An unknown language is the first one."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._column = LANGUAGES.index(self.language)

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with its values put in. Raises KeyError if there is none."""
        return load()[key][self._column].format(**values)

    def word(self, family: str, name: str) -> str:
        """Return the word for a name on the wire, such as a state; the name itself if there is no word for it."""
        texts = load().get(f"{family}-{name}")
        return texts[self._column] if texts else name
