"""Fuzz every driver with coverage as the guide: ``python -m tests.fuzz --runs 1000000 --kind nmea``.

Prints a line of JSON for each driver and ends with 0 only if none broke. What breaks one is left in build/fuzz/<kind>/.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import atheris

FOLDER = Path("build/fuzz")
INPUT_OCTETS_MOST = 2048
MEMORY_MOST_MB = 512
EDITS_MOST = 6
FRESH = 0.3
"""How often an input is made from a capture and not from what was found so far."""
MEND = 0x80
"""The bit of an input's first octet that asks for right checksums; the others choose the case."""

with atheris.instrument_imports(include=["drivers"]):
    from tests.fuzz.harness import Subject, join, seed_of, split
    from tests.fuzz.noise import spoil
    from tests.fuzz.targets import all_kinds, cases_of, wire_of


def fuzz_one(kind: str, runs: int, seed: int) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    folder = FOLDER / kind
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    cases = cases_of(kind)
    subjects = [(Subject(case), *wire_of(case)) for case in cases]
    seeds = [bytes((number,)) + seed_of(case) for number, case in enumerate(cases)]
    for case, data in zip(cases, seeds, strict=True):
        (corpus / case.name).write_bytes(data)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < FRESH or len(data) < 2:
            data = rng.choice(seeds)
        mark = data[0] ^ MEND if rng.random() < 0.5 else data[0]
        return (bytes((mark,)) + join(spoil(rng, split(data[1:]), rng.randint(1, EDITS_MOST))))[:size]

    began = time.monotonic()
    believed = inputs = 0

    def run_input(data: bytes) -> None:
        nonlocal believed, inputs
        inputs += 1
        if data:
            subject, oracle, mend = subjects[(data[0] & ~MEND) % len(subjects)]
            chunks = split(data[1:])
            if subject.feed([mend(chunk) for chunk in chunks] if data[0] & MEND else chunks):
                believed += 1
                assert oracle(bytes(subject.line.heard)), "a value from octets that hold no frame"
        if inputs == runs:
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            took = time.monotonic() - began
            figures = {"kind": kind, "inputs": inputs, "with_values": believed, "peak_mb": round(peak_mb)}
            print(json.dumps({**figures, "seconds": round(took, 1)}), flush=True)

    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={INPUT_OCTETS_MOST}", f"-rss_limit_mb={MEMORY_MOST_MB}"]
    atheris.Setup(
        ["fuzz", *options, "-verbosity=0", f"-artifact_prefix={folder}/", str(corpus)], run_input, custom_mutator=mutate
    )
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs per driver")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=all_kinds(), help="this driver alone")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz_one(options.kind, options.runs, options.seed)
        return 0
    broken = []
    for kind in [options.kind] if options.kind else all_kinds():
        print(f"fuzzing {kind} ...", file=sys.stderr)
        words = ["--here", "--kind", kind, "--runs", str(options.runs), "--seed", str(options.seed)]
        if subprocess.run([sys.executable, "-m", "tests.fuzz", *words], check=False).returncode:
            broken.append(kind)
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs are in {FOLDER}/", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
