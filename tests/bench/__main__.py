"""Measure, print, and write one flat object to build/bench.json; ``<name>_limit`` is the raw limit beside a figure."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.alarms import measure_alarms
from tests.bench.bundle import measure_bundle
from tests.bench.drain import measure_drain
from tests.bench.enrol import measure_enrol
from tests.bench.flood import measure_flood
from tests.bench.latency import measure_fast, measure_output
from tests.bench.memory import measure_memory
from tests.bench.modbus import measure_modbus
from tests.bench.provision import measure_provision
from tests.bench.quake import measure_quake
from tests.bench.reconnect import measure_reconnect
from tests.bench.records import measure_spool, measure_wire
from tests.bench.rollout import measure_rollout
from tests.bench.serial import measure_serial
from tests.bench.series import measure_series
from tests.bench.stations import measure_stations
from tests.bench.sustained import measure_sustained
from tests.bench.thin import measure_thin
from tests.bench.update import measure_update
from tests.bench.waveform_chart import measure_waveform_chart
from tests.bench.waves import measure_waves

FILE = Path("build/bench.json")

PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "spool": measure_spool,
    "sustained": measure_sustained,
    "wire": measure_wire,
    "alarms": measure_alarms,
    "flood": measure_flood,
    "series": measure_series,
    "waveform_chart": measure_waveform_chart,
    "modbus": measure_modbus,
    "serial": measure_serial,
    "fast": measure_fast,
    "output": measure_output,
    "memory": measure_memory,
    "drain": measure_drain,
    "thin": measure_thin,
    "reconnect": measure_reconnect,
    "enrol": measure_enrol,
    "provision": measure_provision,
    "bundle": measure_bundle,
    "quake": measure_quake,
    "stations": measure_stations,
    "update": measure_update,
    "rollout": measure_rollout,
    "waves": measure_waves,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(PARTS), help="measure this part alone")
    options = parser.parse_args()
    figures = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in [options.only] if options.only else PARTS:
        print(f"measuring {name} ...", file=sys.stderr)
        measured = PARTS[name]().items()
        figures.update({key: value if isinstance(value, bool) else round(value, 3) for key, value in measured})
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    print(json.dumps(figures, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
