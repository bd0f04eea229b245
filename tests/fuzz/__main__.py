"""Fuzz every driver with coverage as the guide, put noise on real lines, and hostile requests at the fleet's door.

``python -m tests.fuzz --runs 1000000`` prints a line of JSON for each driver and each line and ends with 0 only if none
broke. An input that breaks a driver is left in build/fuzz/<kind>/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable

from drivers.base import kinds
from tests.fuzz import identity, noisy_line, one_octet

RATIO_OFF_MOST = 0.2
NOISE = "noise"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs per driver")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=(*kinds(), NOISE, identity.KIND), help="one part alone")
    parser.add_argument("--frames", type=int, default=100_000, help="spoilt frames per noisy line")
    options = parser.parse_args()
    is_well = True
    if options.kind not in {NOISE, identity.KIND}:
        is_well &= fuzz([options.kind] if options.kind else kinds(), options.runs, options.seed)
    if options.kind in {None, NOISE}:
        is_well &= put_noise_on_lines(options.frames, options.seed)
    if options.kind in {None, identity.KIND}:
        print(json.dumps(identity.measure(options.runs, options.seed)), flush=True)
    return 0 if is_well else 1


def fuzz(drivers: Iterable[str], runs: int, seed: int) -> bool:
    """Fuzz drivers, each in a process of its own; tell whether none broke."""
    broken = []
    for kind in drivers:
        print(f"fuzzing {kind} ...", file=sys.stderr)
        words = ["-m", "tests.fuzz.guided", kind, "--runs", str(runs), "--seed", str(seed)]
        if subprocess.run([sys.executable, *words], check=False).returncode:
            broken.append(kind)
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs are in build/fuzz/", file=sys.stderr)
    return not broken


def put_noise_on_lines(frames: int, seed: int) -> bool:
    """Tell whether CRC-16 let nothing through, and one-octet checksums no more than they must."""
    told = noisy_line.measure(frames, seed)
    print(json.dumps(told), flush=True)
    holds = told["false_good"] == 0
    for name in one_octet.TRIALS:
        told = one_octet.measure(name, frames, seed)
        print(json.dumps(told), flush=True)
        holds &= abs(told["believed_ratio"] - 1) <= RATIO_OFF_MOST
    return holds


if __name__ == "__main__":
    sys.exit(main())
