"""Keeps the message catalogues in step with the pages: ``python -m fleet.console.catalogue check|update``.

The source language is English; each other language has a ``.po`` that people edit and a ``.mo`` made from it.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

FOLDER = Path(__file__).parent
TRANSLATIONS = FOLDER / "translations"
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
OPTIONS = {"templates/**.html": {"silent": "false"}}
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "lazy_gettext": None,
    "ngettext": (1, 2),
    "lazy_pgettext": ((1, "c"), 2),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the dates that a catalogue wants: they would make the file differ at every run."""
UNWANTED = (b"-Date: ", b'"Report-Msgid', b'"Last-Translator', b'"Language-Team', b'"Generated-By')
"""Lines of the header that say nothing."""


def find_languages() -> list[str]:
    """The languages that have a catalogue."""
    return sorted(path.parent.parent.name for path in TRANSLATIONS.glob("*/LC_MESSAGES/messages.po"))


def extract() -> Catalog:
    """The messages that the pages use now."""
    catalog = Catalog()
    found = extract_from_dir(str(FOLDER), METHODS, OPTIONS, keywords=KEYWORDS, strip_comment_tags=True)
    for name, _, message, _, context in sorted(found, key=lambda row: (row[0], row[1])):
        catalog.add(message, None, [(Path(name).as_posix(), 0)], context=context)
    return catalog


def read(language: str) -> Catalog:
    """The catalogue of a language as it is kept."""
    path = TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"
    return read_po(io.BytesIO(path.read_bytes()), locale=language)


def compile_catalogue(catalog: Catalog) -> bytes:
    """The binary form of a catalogue."""
    catalog.creation_date = catalog.revision_date = EPOCH
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def find_faults(language: str) -> list[str]:
    """What keeps a catalogue from being whole: missing, left over, doubtful, badly formed or not compiled."""
    kept, used = read(language), extract()
    keys = {(message.id, message.context) for message in used if message.id}
    have = {(message.id, message.context): message for message in kept if message.id}
    faults = [f"missing: {key}" for key in sorted(keys - have.keys(), key=str)]
    faults += [f"not used any more: {key}" for key in sorted(have.keys() - keys, key=str)]
    for key, message in have.items():
        texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
        if not all(texts) or message.fuzzy:
            faults.append(f"not translated: {key}")
        faults += [f"{key}: {error}" for error in message.check(kept)]
    compiled = TRANSLATIONS / language / "LC_MESSAGES" / "messages.mo"
    if not compiled.exists() or compiled.read_bytes() != compile_catalogue(kept):
        faults.append(f"{compiled.name} is older than its .po")
    return faults


def update(language: str) -> None:
    """Add new messages, drop those not used, and compile. What is not translated yet stays empty, never guessed."""
    kept = read(language)
    kept.update(extract(), no_fuzzy_matching=True)
    kept.obsolete.clear()
    folder = TRANSLATIONS / language / "LC_MESSAGES"
    buffer = io.BytesIO()
    kept.header_comment = ""
    write_po(buffer, kept, width=120, no_location=True, omit_header=False, ignore_obsolete=True, sort_output=True)
    lines = buffer.getvalue().splitlines(keepends=True)
    kept_lines = [line for line in lines if not any(word in line for word in UNWANTED)]
    folder.joinpath("messages.po").write_bytes(b"".join(kept_lines))
    folder.joinpath("messages.mo").write_bytes(compile_catalogue(read(language)))


def main(arguments: list[str]) -> int:
    """Check or update all catalogues. Returns the exit status."""
    if arguments not in (["check"], ["update"]):
        sys.stderr.write("usage: python -m fleet.console.catalogue check|update\n")
        return 2
    if arguments == ["update"]:
        for language in find_languages():
            update(language)
    faults = [f"{language}: {fault}" for language in find_languages() for fault in find_faults(language)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
