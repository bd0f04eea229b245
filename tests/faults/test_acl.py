"""A small matrix of gateways against topics; `make faults KIND=acl` runs the large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.acl import Findings, try_brokers
from tests.servers import find_mosquitto


@pytest.mark.timeout(120)
async def test_gateways_write_and_read_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    brokers = 2 if find_mosquitto() else 1
    assert await try_brokers(tmp_path, 6) == Findings(tried=brokers * 3 * 6**2)
