"""Claim codes."""

from __future__ import annotations

import pytest

from provisioning.codes import ALPHABET, SECRET_LETTERS, hash_code, make_code, read_code
from provisioning.errors import RequestError


def test_a_code_holds_at_least_128_bits_and_none_comes_twice() -> None:
    assert len(ALPHABET) == 32
    assert SECRET_LETTERS * 5 >= 128
    assert len({make_code() for _ in range(200)}) == 200


def test_a_code_is_known_however_it_is_written() -> None:
    code = make_code()
    for typed in (code.lower(), code.replace("-", ""), code.replace("-", " "), code.replace("0", "O"), f" {code} "):
        assert hash_code(typed) == hash_code(code)
    assert read_code(code) not in hash_code(code)


def test_a_slip_of_the_pen_is_told_from_a_code_that_nobody_knows() -> None:
    codes = [make_code() for _ in range(100)]
    slips = [("7" if code[3] != "7" else "8").join((code[:3], code[4:])) for code in codes]
    assert sum(is_mistyped(slip) for slip in slips) >= 97
    assert not any(is_mistyped(code) for code in codes)


def is_mistyped(code: str) -> bool:
    try:
        read_code(code)
    except RequestError as error:
        return error.name == "claim-mistyped"
    return False


@pytest.mark.parametrize("text", ["", "1234", "U" * 28, "令牌" * 14, "\0" * 28, "A" * 10_000, "\ud800" * 28])
def test_what_is_no_code_is_refused_by_name(text: str) -> None:
    with pytest.raises(RequestError, match="not a claim code"):
        read_code(text)
