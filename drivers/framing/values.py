"""From what stands in a frame to a value and its quality."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from drivers import bits
from drivers.errors import SettingsError
from drivers.framing.model import Field, Status
from wire.sample import Quality, Value

Judged = tuple[Value, int]
"""A value and its quality."""

NO_VALUE: Judged = (None, bits.BAD_SENSOR)

BAD_DEVICE, UNCERTAIN_STATUS = int(Quality.BAD_DEVICE), int(Quality.UNCERTAIN_STATUS)

WHOLE_DIGITS_MOST = 15
"""Whole numbers of more digits become floating point: no instrument counts further, and no tag could hold it."""

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_HEXADECIMAL = re.compile("[0-9A-Fa-f]{1,15}")


def _decimal(text: str) -> int | float | None:
    if not _DECIMAL.fullmatch(text):
        return None
    digits = text.lstrip("+-")
    return int(text) if digits.isdigit() and len(digits) <= WHOLE_DIGITS_MOST else float(text)


def _hexadecimal(text: str) -> int | None:
    return int(text, 16) if _HEXADECIMAL.fullmatch(text) else None


_NUMBERS: Mapping[str, Callable[[str], int | float | None]] = {"number": _decimal, "hex": _hexadecimal}


def text_converter(tag: str, field: Field) -> Callable[[str], Judged]:
    """Prepare the way from words of a text to a value; anything that is no number then is none."""
    refused = frozenset(word for word in field.invalid if isinstance(word, str))
    if field.read == "text":
        _refuse_bits(tag, field, "text")
        words = field.words

        def convert_words(text: str) -> Judged:
            if not text or not text.isascii() or text in refused:
                return NO_VALUE
            word = words.get(text) if words else text
            return NO_VALUE if word is None else (word, bits.GOOD)

        return convert_words

    parse, convert = _NUMBERS[field.read], number_converter(tag, field)

    def convert_number(text: str) -> Judged:
        raw = None if text in refused else parse(text)
        return NO_VALUE if raw is None else convert(raw)

    return convert_number


def number_converter(tag: str, field: Field) -> Callable[[int | float], Judged]:
    """Prepare the way from a raw number to a value: invalid ones, one bit, some bits, words, scale and offset."""
    refused = tuple(number for number in field.invalid if not isinstance(number, str))
    if field.type.startswith("f"):
        _refuse_bits(tag, field, field.type)
    if field.bit is not None or field.mask is not None:
        return _bits_converter(tag, field, refused)
    return _named(field, refused) if field.words else bits.converter(field.scale, field.offset, refused)


def _bits_converter(tag: str, field: Field, refused: tuple[float, ...]) -> Callable[[int | float], Judged]:
    if field.mask is not None and field.bit is not None:
        raise SettingsError(f"{tag} has a mask and a bit", hint="leave one out")
    pick = bits.masked(1 << field.bit if field.bit is not None else field.mask or 0)
    convert = _named(field, ()) if field.words else bits.converter(field.scale, field.offset)

    def convert_bits(raw: int | float) -> Judged:
        if not isinstance(raw, int) or raw in refused:
            return NO_VALUE
        if field.bit is not None and not field.words:
            return bool(pick(raw)), bits.GOOD
        return convert(pick(raw))

    return convert_bits


def _named(field: Field, refused: tuple[float, ...]) -> Callable[[int | float], Judged]:
    """A number that no word stands for is no value."""

    def convert(raw: int | float) -> Judged:
        word = None if raw in refused else field.words.get(str(raw))
        return NO_VALUE if word is None else (word, bits.GOOD)

    return convert


def _refuse_bits(tag: str, field: Field, what: str) -> None:
    if field.mask is not None or field.bit is not None:
        raise SettingsError(f"{tag}: there are no bits in {what}", hint="leave out mask and bit, or name another type")


def spoiled(judged: Judged, status: Status) -> Judged:
    """Return what is left of a value when the instrument's status is not well."""
    value, quality = judged
    if status.quality == "bad":
        return None, BAD_DEVICE
    return value, max(quality, UNCERTAIN_STATUS)
