"""100 Modbus TCP instruments of 100 registers, through alarms, spool and broker: what it costs, what one core bears."""

from __future__ import annotations

import sys

from tests.bench.bare import run_apart
from tests.bench.gateway import Instruments, running, serving

DEVICES = REGISTERS = 100
SETTLE_S = 5.0
WATCH_S = 30.0
SUSTAINED_S = 15.0
LIMIT_S = 10.0
PERIODS_S = (0.1, 0.0625, 0.05, 0.04, 0.032, 0.025, 0.02)
"""From 100,000 to 500,000 values a second."""
MET_PCT = 99.9


def measure_modbus() -> dict[str, float]:
    """CPU seconds per million values at 1 s, and the most values a second that one core delivers in full."""
    with serving("walk", REGISTERS) as (port, _):
        figures = _measure_cost(port)
        figures.update(_measure_most(port))
        values, cpu_s = run_apart(port, DEVICES, REGISTERS, 1.0, LIMIT_S)
        figures["modbus_cpu_s_per_million_limit"] = cpu_s / values * 1e6
        values, cpu_s = run_apart(port, DEVICES, REGISTERS, 0.0, LIMIT_S)
        figures["modbus_max_values_per_s_one_core_limit"] = values / cpu_s
    return figures


def _measure_cost(port: int) -> dict[str, float]:
    instruments = Instruments(name="tank", port=port, devices=DEVICES, registers=REGISTERS, poll_s=1.0)
    with running([instruments]) as gateway:
        gateway.watch(SETTLE_S)
        window = gateway.watch(WATCH_S)
    return {
        "modbus_cpu_s_per_million": window.cpu_s / window.values * 1e6,
        "modbus_delivered_pct": window.delivered_pct(instruments),
    }


def _measure_most(port: int) -> dict[str, float]:
    most = cpu_share = 0.0
    for poll_s in PERIODS_S:
        instruments = Instruments(name="tank", port=port, devices=DEVICES, registers=REGISTERS, poll_s=poll_s)
        with running([instruments], core=0) as gateway:
            gateway.watch(SETTLE_S)
            window = gateway.watch(SUSTAINED_S)
        delivered_pct = window.delivered_pct(instruments)
        print(
            f"  {instruments.values_per_s:,.0f} values/s: {delivered_pct:.2f} % delivered, "
            f"{window.cpu_s / window.seconds:.2f} of the core",
            file=sys.stderr,
        )
        if delivered_pct < MET_PCT:
            break
        most, cpu_share = instruments.values_per_s, window.cpu_s / window.seconds
    return {"modbus_max_values_per_s_one_core": most, "modbus_max_core_share": cpu_share}
