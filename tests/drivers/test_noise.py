"""Every driver on a bad line: its captures with octets flipped, dropped, doubled, merged, torn and out of order."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import kinds
from tests.drivers.cases import Case
from tests.fuzz.harness import Subject
from tests.fuzz.noise import spoil
from tests.fuzz.targets import all_cases, cases_of, target_of, wire_of
from tests.fuzz.wires import modbus

INPUTS = 100
EDITS_MOST = 6


@pytest.fixture(params=all_cases(), ids=lambda case: f"{case.kind}-{case.name}")
def subject(request: pytest.FixtureRequest):
    subject = Subject(request.param)
    yield subject
    subject.close()


IDENTITIES: dict[str, list[bytes]] = {
    "davis": [b"\n\r", b"\x06\x10"],
    "modbus:rtu": [b"\x05\x2b\x0e\x01\x01\x00\x00\x02\x00\x04ACME\x01\x02P1\0\0"],
    "sdi12": [b"013VAISALA_WXT530103Y2630000\r\n"],
    "wxt530": [b"0xU,A=0,M=P,T=0,C=2,I=0,B=19200,N=WXT536,V=1.10CRC\r\n"],
}
"""What instruments say that are asked who they are; their checksums are to be mended."""


def _captured(case: Case) -> list[bytes]:
    return [step.data for step in case.steps if not step.sent]


def test_every_driver_is_fuzzed_over_every_framing_and_judged():
    assert {case.kind for case in all_cases()} == set(kinds())
    assert {target_of(case) for case in cases_of("modbus")} == {f"modbus:{scheme}" for scheme in modbus.BY_SCHEME}
    assert all(wire_of(case) for case in all_cases())


def test_the_judge_bears_out_what_the_capture_holds(subject: Subject):
    assert subject.feed(_captured(subject.case)), "nothing was believed of the capture itself"


def test_noise_gives_no_foreign_error_and_no_value_that_no_frame_holds(subject: Subject):
    captured = _captured(subject.case)

    @settings(max_examples=INPUTS, derandomize=True, deadline=None, database=None)
    @given(rng=st.randoms(use_true_random=False), edits=st.integers(0, EDITS_MOST), is_mended=st.booleans())
    def noise(rng: random.Random, edits: int, is_mended: bool):
        chunks = spoil(rng, captured, edits)
        subject.feed(subject.mend(chunks) if is_mended else chunks)

    noise()


@pytest.mark.parametrize("target", IDENTITIES)
def test_noise_on_an_identity_gives_words_or_nothing(target: str):
    subject = Subject(next(case for case in all_cases() if target_of(case) == target))
    said = IDENTITIES[target]
    assert subject.identify(subject.mend(said))

    @settings(max_examples=3 * INPUTS, derandomize=True, deadline=None, database=None)
    @given(rng=st.randoms(use_true_random=False), edits=st.integers(0, EDITS_MOST), is_mended=st.booleans())
    def noise(rng: random.Random, edits: int, is_mended: bool):
        chunks = spoil(rng, said, edits)
        subject.identify(subject.mend(chunks) if is_mended else chunks)

    noise()
    subject.close()
