"""Fuzz one driver with coverage as the guide: ``python -m tests.fuzz.guided nmea --runs 1000000 --seed 1``.

Prints a line of JSON when all inputs were tried; an input that breaks the driver ends it and is left in
build/fuzz/<kind>/. The corpus begins anew with the captures of the driver's cases each time, so that a seed tells all.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import time
from pathlib import Path

import atheris

FOLDER = Path("build/fuzz")
INPUT_OCTETS_MOST = 2048
MEMORY_MOST_MB = 512
SECONDS_MOST = 20
"""Longer for one input counts as a hang."""
EDITS_MOST = 6
FRESH = 0.3
"""How often an input is made from a capture and not from what was found so far."""
RENEWED_AFTER = 2000
"""Inputs after which drivers are made anew and virtual time begins at 0: floats lose its nanoseconds in 100 days."""
MEND = 0x80
"""The bit of an input's first octet that asks for right checksums; the others choose the case."""

with atheris.instrument_imports(include=["drivers"]):
    from drivers.base import find, kinds
    from tests.fuzz.harness import Subject, join, seed_of, split
    from tests.fuzz.noise import spoil
    from tests.fuzz.targets import cases_of


class Mutator:
    """Makes an input from another, or from a capture: spoilt as a line spoils it, its checksums right or not."""

    def __init__(self, seeds: list[bytes]) -> None:
        self._seeds = seeds

    def __call__(self, data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < FRESH or len(data) < 2:
            data = rng.choice(self._seeds)
        mark = data[0] ^ MEND if rng.random() < 0.5 else data[0]
        return (bytes((mark,)) + join(spoil(rng, split(data[1:]), rng.randint(1, EDITS_MOST))))[:size]


class Trial:
    """Feeds inputs to a driver and counts those of which it believed something."""

    def __init__(self, kind: str, runs: int) -> None:
        self._cases = cases_of(kind)
        self._subjects: list[Subject] = []
        self._kind = kind
        self._runs = runs
        self._inputs = self._believed = 0
        self._began = time.monotonic()

    def __call__(self, data: bytes) -> None:
        if self._inputs % RENEWED_AFTER == 0:
            self._renew()
        self._inputs += 1
        if data:
            subject = self._subjects[(data[0] & ~MEND) % len(self._subjects)]
            chunks = split(data[1:])
            self._believed += bool(subject.feed(subject.mend(chunks) if data[0] & MEND else chunks))
        if self._inputs == self._runs:
            print(json.dumps(self._figures()), flush=True)

    def _renew(self) -> None:
        for subject in self._subjects:
            subject.close()
        self._subjects = [Subject(case) for case in self._cases]

    def _figures(self) -> dict[str, str | int | float]:
        seconds = time.monotonic() - self._began
        return {
            "kind": self._kind,
            "cases": len(self._subjects),
            "inputs": self._inputs,
            "with_values": self._believed,
            "inputs_per_s": round(self._inputs / seconds),
            "seconds": round(seconds, 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def fuzz(kind: str, runs: int, seed: int) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    with atheris.instrument_imports(include=["drivers"]):
        find(kind)
    folder = FOLDER / kind
    corpus = folder / "corpus"
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    cases = cases_of(kind)
    seeds = [bytes((number,)) + seed_of(case) for number, case in enumerate(cases)]
    for case, data in zip(cases, seeds, strict=True):
        (corpus / case.name).write_bytes(data)
    limits = (f"-max_len={INPUT_OCTETS_MOST}", f"-rss_limit_mb={MEMORY_MOST_MB}", f"-timeout={SECONDS_MOST}")
    options = (f"-runs={runs}", f"-seed={seed}", *limits, "-verbosity=0", f"-artifact_prefix={folder}/")
    atheris.Setup(["fuzz", *options, str(corpus)], Trial(kind, runs), custom_mutator=Mutator(seeds))
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("kind", choices=kinds())
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fuzz(options.kind, options.runs, options.seed)


if __name__ == "__main__":
    main()
