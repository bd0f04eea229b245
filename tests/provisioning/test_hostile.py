"""Hostile requests and claims, some of them; `make fuzz KIND=identity` tries a million."""

from __future__ import annotations

from tests.fuzz.identity import measure


def test_nothing_breaks_the_door_and_no_key_is_believed_that_nobody_signed_for() -> None:
    answers = measure(1500, seed=7)["answers"]
    assert isinstance(answers, dict)
    assert answers.keys() >= {
        "key",
        "code",
        "csr-unreadable",
        "csr-signature",
        "key-type",
        "key-weak",
        "claim-mistyped",
    }
