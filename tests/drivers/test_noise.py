"""Every driver on a bad line: its captures with octets flipped, dropped, doubled, merged, torn and out of order."""

import random

import pytest

from drivers.base import kinds
from tests.drivers.cases import Case
from tests.fuzz.harness import Subject
from tests.fuzz.noise import spoil
from tests.fuzz.targets import cases_of, wire_of

INPUTS = 300
CASES = [case for kind in kinds() for case in cases_of(kind)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}")
def test_noise_gives_no_foreign_error_and_no_value_without_a_frame(case: Case):
    oracle, mend = wire_of(case)
    captured = [step.data for step in case.steps if not step.sent]
    subject = Subject(case)
    rng = random.Random(case.name)
    believed = 0
    try:
        for number in range(INPUTS):
            chunks = spoil(rng, captured, rng.randint(0, 6))
            if number % 2:
                chunks = [mend(chunk) for chunk in chunks]
            if subject.feed(chunks):
                believed += 1
                assert oracle(bytes(subject.line.heard)), chunks
    finally:
        subject.close()
    assert believed, "nothing was ever believed: the noise tested nothing"
