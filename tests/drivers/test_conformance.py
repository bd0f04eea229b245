"""Every driver that is installed passes one suite, on captured bytes of its own."""

import pytest

from drivers import errors
from drivers.base import kinds
from tests.drivers.cases import Bench, Case, columns, expected_columns, load_all
from tests.drivers.conformance import CHECKS

CASES = load_all()
BASIC = [case for case in CASES if case.name.startswith("basic")]


def case_id(case: Case) -> str:
    return f"{case.kind}/{case.name}"


def test_every_driver_has_a_basic_case():
    assert {case.kind for case in BASIC} >= set(kinds())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", BASIC, ids=case_id)
async def test_driver(case, check):
    await check(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.scan], ids=case_id)
async def test_capture_gives_the_expected_scans(case):
    bench = Bench(case)
    await bench.driver.open()
    assert columns(await bench.scans()) == expected_columns(case)
    assert getattr(bench.driver, "faults", 0) == case.faults
    await bench.driver.close()


@pytest.mark.parametrize("case", [case for case in CASES if case.error], ids=case_id)
async def test_capture_ends_in_the_expected_error(case):
    bench = Bench(case)
    await bench.driver.open()
    with pytest.raises(errors.DriverError) as caught:
        await bench.scans()
    assert type(caught.value).__name__ == case.error
    await bench.driver.close()
