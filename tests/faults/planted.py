"""Bugs on purpose, each in a copy of the tree: the harness must notice every one of them, or it proves nothing.

``make faults-selftest`` copies what is committed, changes one place, runs the faults that should show it, and expects
them to fail. The product has no switch for any of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
RUN_S = 600.0
COUNTS = ("lost", "duplicated", "undeclared", "missed_alarms", "not_recovered")


class Bug(msgspec.Struct, frozen=True):
    """A change of one place, and the fault that shows it."""

    name: str
    file: str
    old: str
    new: str
    kind: str
    trials: int = 1


SPOOL, FILE = "edge/spool/spool.py", "edge/spool/file.py"
BUGS = (
    Bug(
        "commits are not synced",
        FILE,
        "PRAGMA synchronous=FULL",
        "PRAGMA synchronous=OFF",
        "power-cut",
        8,
    ),
    Bug(
        "the spool is in memory",
        FILE,
        "sqlite3.connect(path, isolation_level",
        'sqlite3.connect(":memory:", isolation_level',
        "power-cut",
        8,
    ),
    Bug(
        "an instrument is answered before the commit",
        "drivers/hj212/driver.py",
        "if packet.needs_answer and await self.kept():",
        "if packet.needs_answer:",
        "power-cut",
        12,
    ),
    Bug(
        "an epoch is reused after the disk went back in time",
        SPOOL,
        'f"{self._n:08d}-{secrets.token_hex(16)}"',
        'f"{self._n:08d}-{secrets.token_hex(0)}"',
        "disk-rolled-back",
        5,
    ),
    Bug(
        "alarms that are up are forgotten at a restart",
        SPOOL,
        '        if record.change == "raised":\n            body',
        '        if record.change == "never":\n            body',
        "kill-agents",
        3,
    ),
    Bug(
        "a chunk is read without its first record",
        SPOOL,
        "records[start - chunk_first :]",
        "records[start - chunk_first + (start % 20 == 0 and len(records) > 1) :]",
        "kill-web",
    ),
    Bug(
        "every fifth row of records is damaged when it is written",
        SPOOL,
        "pack([encode_record(record) for record in records])",
        'pack([encode_record(record) if head % 5 else b"" for record in records])',
        "kill-web",
    ),
    Bug(
        "events are dropped on the way to the spool",
        "edge/waiting.py",
        "        rule = rule_of(event)\n",
        '        rule = rule_of(event)\n        if rule.endswith("high"):\n            return\n',
        "kill-web",
    ),
    Bug(
        "measurements are dropped on the way to the spool",
        "edge/waiting.py",
        "        elif len(self._entries) < self._most:\n",
        "        elif record.mono_ns % 20 == 0:\n            return\n        elif len(self._entries) < self._most:\n",
        "kill-web",
    ),
    Bug(
        "the uplink gives up after one connection",
        "edge/uplink.py",
        "            backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)",
        "            backoff_s = 3600.0",
        "cut-link",
    ),
    Bug(
        "a greeting is ignored",
        "edge/conversation.py",
        '        if self.session is not None and message.session in ("", self.session):\n'
        "            self._close_session(now)",
        "        return",
        "kill-ingest",
    ),
    Bug(
        "a resent record is not trimmed",
        "fleet/conversation.py",
        "min(committed + 1 - batch.first, len(batch.items))",
        "max(0, min(committed - batch.first, len(batch.items)))",
        "answers-lost",
        6,
    ),
    Bug(
        "one record too many is trimmed",
        "fleet/conversation.py",
        "min(committed + 1 - batch.first, len(batch.items))",
        "min(committed + 1 + (committed % 9 == 0) - batch.first, len(batch.items))",
        "kill-web",
    ),
    Bug(
        "the cursor runs ahead of what is stored",
        "fleet/conversation.py",
        "return Take(skip, max(committed, last))",
        "return Take(skip, max(committed, last + (last % 9 == 0)))",
        "kill-web",
    ),
    Bug(
        "a batch is acknowledged and not stored",
        "fleet/committer.py",
        "                self._store(batch, decision.skip, message)\n",
        "                if batch.first % 7:\n                    self._store(batch, decision.skip, message)\n",
        "kill-web",
    ),
    Bug(
        "the relay goes on though the platform refused",
        "fleet/relay/program.py",
        "            return False\n        noted =",
        "        noted =",
        "platform-refuses",
    ),
    Bug(
        "the relay believes anybody who says 200",
        "fleet/relay/delivery.py",
        "or not _is_confirmed(response)",
        "",
        "platform-garbage",
    ),
    Bug(
        "the relay skips a record",
        "fleet/relay/service.py",
        "Record.id > after)\n        .order_by",
        "Record.id > after + 1)\n        .order_by",
        "kill-web",
    ),
    Bug(
        "alarms are not relayed",
        "fleet/relay/service.py",
        "LANES = (Lane.ALARMS, Lane.MEASUREMENTS)",
        "LANES = (Lane.MEASUREMENTS,)",
        "kill-web",
    ),
    Bug(
        "a record gets another key when it comes again",
        "fleet/relay/document.py",
        "row.lane, str(row.seq))",
        "row.lane, str(row.seq), str(row.received_ns))",
        "database-restored",
        2,
    ),
    Bug(
        "a record's key does not name its epoch",
        "fleet/relay/document.py",
        "row.gateway, row.epoch, row.lane",
        "row.gateway, row.lane",
        "kill-agent",
    ),
    Bug(
        "a program of the fleet that dies stays dead",
        "fleet/supervisor.py",
        "            self._restarts += 1\n            await self.start()",
        "            await asyncio.sleep(3600)",
        "kill-ingest",
    ),
)


def plant(bug: Bug, tree: Path) -> None:
    """Change the copy. Raises ValueError if the place is not there exactly once: the table has to follow the code."""
    path = tree / bug.file
    text = path.read_text("utf-8")
    if text.count(bug.old) != 1:
        raise ValueError(f"'{bug.name}': {bug.file} has its place {text.count(bug.old)} times, not once")
    path.write_text(text.replace(bug.old, bug.new), "utf-8")


def copy_tree(target: Path) -> None:
    """Copy what is under version control."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def is_caught(bug: Bug, seed: int) -> tuple[bool, str]:
    """Plant a bug, run its fault, and say whether the run failed and how."""
    with tempfile.TemporaryDirectory(prefix="fengsui-planted-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        plant(bug, tree)
        arguments = ["--trials", str(bug.trials), "--seed", str(seed), "--kind", bug.kind]
        try:
            run = subprocess.run(
                [sys.executable, "-m", "tests.faults", *arguments],
                cwd=tree,
                env={**os.environ, "PYTHONPATH": str(tree)},
                capture_output=True,
                text=True,
                timeout=RUN_S,
            )
        except subprocess.TimeoutExpired:
            return False, f"did not end within {RUN_S:g} s"
    last = run.stdout.strip().rpartition("\n")[2]
    if run.returncode == 0:
        return False, "not noticed"
    if not last.startswith("{"):
        return False, f"did not run: {(run.stderr.strip().splitlines() or ['no word'])[-1]}"
    counts = json.loads(last)
    return True, ", ".join(f"{name} {counts[name]}" for name in COUNTS if counts[name])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="make faults-selftest", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="bugs whose name has this in it")
    options = parser.parse_args()
    chosen = [bug for bug in BUGS if options.only in bug.name]
    caught = 0
    for bug in chosen:
        began = time.monotonic()
        is_well, words = is_caught(bug, options.seed)
        caught += is_well
        print(
            f"{'caught' if is_well else 'MISSED'}  {bug.name} ({bug.kind}, {time.monotonic() - began:.0f} s): {words}"
        )
        sys.stdout.flush()
    print(json.dumps({"planted": len(chosen), "caught": caught, "seed": options.seed}))
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
