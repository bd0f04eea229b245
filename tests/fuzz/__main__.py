"""Fuzz every driver with coverage as the guide, then put noise on real lines: ``python -m tests.fuzz --runs 1000000``.

Prints a line of JSON for each driver and each line and ends with 0 only if none broke. An input that breaks a driver is
left in build/fuzz/<kind>/.
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
RATIO_OFF_MOST = 0.2
FRESH = 0.3
"""How often an input is made from a capture and not from what was found so far."""
MEND = 0x80
"""The bit of an input's first octet that asks for right checksums; the others choose the case."""

with atheris.instrument_imports(include=["drivers"]):
    from tests.fuzz import noisy_line, one_octet
    from tests.fuzz.harness import Subject, join, seed_of, split
    from tests.fuzz.noise import spoil
    from tests.fuzz.targets import all_kinds, cases_of


def fuzz_one(kind: str, runs: int, seed: int) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    folder = FOLDER / kind
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    cases = cases_of(kind)
    subjects = [Subject(case) for case in cases]
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
            subject = subjects[(data[0] & ~MEND) % len(subjects)]
            chunks = split(data[1:])
            believed += bool(subject.feed(subject.mend(chunks) if data[0] & MEND else chunks))
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
    parser.add_argument("--frames", type=int, default=100_000, help="spoilt frames per noisy line")
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
    noise_is_told = options.kind is not None or put_noise_on_lines(options.frames, options.seed)
    return 0 if noise_is_told and not broken else 1


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
