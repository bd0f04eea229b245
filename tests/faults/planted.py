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
COUNTS = (
    *("lost", "duplicated", "undeclared", "misdeclared", "missed_alarms", "raised_twice", "acks_lost"),
    *("allowed_that_must_not", "refused_that_must_not", "not_recovered", "unbounded"),
)


class Bug(msgspec.Struct, frozen=True):
    """A change of one place, and the fault that shows it."""

    name: str
    file: str
    old: str
    new: str
    kind: str
    trials: int = 1
    also: tuple[tuple[str, str], ...] = ()
    """More of the same in that file: old, new."""
    guard: tuple[str, str, str] | None = None
    """What elsewhere would hide it, and goes with it: file, old, new."""

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """All changes: file, old, new."""
        own = ((self.file, old, new) for old, new in ((self.old, self.new), *self.also))
        return *own, *([self.guard] if self.guard is not None else [])


KEY = (
    "fleet/migrations/versions/0001_first_tables.py",
    '        sa.UniqueConstraint("gateway", "epoch", "lane", "seq", name=op.f("uq_record_gateway_epoch_lane_seq")),\n',
    "",
)
"""The database's own key: with it, what is stored twice is halved down to the record that is there, and put right."""
SPOOL, FILE, TALK = "edge/spool/spool.py", "edge/spool/file.py", "edge/conversation.py"
BUGS = (
    Bug(
        "a gateway may write to the topics of others",
        "fleet/broker.py",
        "        return may_publish(user, topic)\n",
        "        return True\n",
        "acl",
        6,
    ),
    Bug(
        "a gateway may read what is sent to others",
        "fleet/broker.py",
        "    return may_subscribe(user, topic)\n",
        "    return True\n",
        "acl",
        6,
    ),
    Bug(
        "Mosquitto lets gateways write what the fleet says",
        "fleet/mosquitto.py",
        "pattern write fs/1/%u/up/#",
        "pattern write fs/1/%u/#",
        "acl",
        6,
    ),
    Bug(
        "commits are not synced",
        FILE,
        "PRAGMA synchronous=FULL",
        "PRAGMA synchronous=OFF",
        "power-cut",
        24,
    ),
    Bug(
        "commits are synced at checkpoints only",
        FILE,
        "PRAGMA synchronous=FULL",
        "PRAGMA synchronous=NORMAL",
        "power-cut",
        40,
    ),
    Bug(
        "commits are synced at checkpoints only, on a disk that reorders",
        FILE,
        "PRAGMA synchronous=FULL",
        "PRAGMA synchronous=NORMAL",
        "writes-reordered",
        12,
    ),
    Bug(
        "records are given up without a tombstone",
        "edge/spool/room.py",
        "        self._tombstones.add(lane, whole(n), lacking, tombstone)\n",
        "",
        "spool-full",
    ),
    Bug(
        "alarms wait behind the backlog",
        TALK,
        "        for lane in LANES:\n            for epoch, cursor in",
        "        for lane in reversed(LANES):\n            for epoch, cursor in",
        "alarm-before-backlog",
    ),
    Bug(
        "rewinds are ignored",
        TALK,
        "            if (lane, epoch) in places:\n                cursor.sent = cursor.committed",
        "            if (lane, epoch) in places:\n                continue",
        "broker-overflows",
        2,
        also=(("        cursor.sent = max(0, min(message.expected - 1, cursor.head))", "        return"),),
    ),
    Bug(
        "a restored fleet is not refilled",
        TALK,
        "cursor.committed = cursor.sent = max(0, min(committed, cursor.head))",
        "cursor.committed = cursor.sent = max(cursor.committed, min(committed, cursor.head))",
        "database-restored",
        also=(
            (
                "cursor.sent = max(0, min(message.expected - 1, cursor.head))",
                "cursor.sent = max(cursor.committed, min(message.expected - 1, cursor.head))",
            ),
        ),
    ),
    Bug(
        "salvaged records get another identity",
        "edge/spool/salvage.py",
        '        for table in ("mark", "chunk", "tombstone"):  # without',
        "        file.execute(\"UPDATE epoch SET id = id || '0'\")\n"
        '        for table in ("mark", "chunk", "tombstone"):  # without',
        "rotten-spool",
        6,
    ),
    Bug(
        "records are acknowledged before their commit",
        "fleet/committer.py",
        "                self._store(batch, decision.skip, message)\n",
        "                memory = self._committer.__dict__\n"
        '                late = memory.pop("late", None)\n'
        '                memory["late"] = (batch, decision.skip, message)\n'
        "                if late is not None:\n"
        "                    self._store(*late)\n",
        "kill-ingest",
        2,
    ),
    Bug(
        "what was sent again is stored again",
        "fleet/conversation.py",
        "skip = min(committed + 1 - batch.first, len(batch.items))",
        "skip = 0",
        "answers-late",
        2,
        guard=KEY,
    ),
    Bug(
        "cursors are set back when a gateway connects",
        "fleet/gateways/service.py",
        "    cursors: dict[str, dict[Lane, int]] = {}\n    named =",
        "    session.execute(sa.update(Cursor).where(Cursor.gateway == gateway.name).values(committed=0))\n"
        "    cursors: dict[str, dict[Lane, int]] = {}\n    named =",
        "cut-link",
        2,
    ),
    Bug(
        "a tombstone is counted again for what the fleet has",
        "fleet/ledger/service.py",
        "        first=after + 1,\n",
        "        first=batch.first,\n",
        "spool-full",
        3,
    ),
    Bug(
        "a batch is refused for the layouts that it names",
        "fleet/burden.py",
        "if len(body.layouts) > BATCH_ITEMS_MOST + minutes:",
        "if len(body.layouts) > len(body.items) + minutes:",
        "kill",
        80,
    ),
    Bug(
        "nobody tells of a clone",
        "fleet/gateways/service.py",
        "    return comes_back\n",
        "    return False\n",
        "disk-cloned",
    ),
    Bug(
        "the spool is in memory",
        FILE,
        "sqlite3.connect(path, isolation_level",
        'sqlite3.connect(":memory:", isolation_level',
        "power-cut",
        24,
    ),
    Bug(
        "an instrument is answered before the commit",
        "drivers/hj212/driver.py",
        "if packet.needs_answer and await self.kept():",
        "if packet.needs_answer:",
        "power-cut",
        60,
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
        "edge/spool/standings.py",
        "found = {name: _join(record, stands.get(name)) for name, record in raised.items()}",
        "found = dict[str, Remembered]()",
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
        "        elif len(self._entries) < self._most or (lane",
        "        elif record.mono_ns % 20 == 0:\n            return\n"
        "        elif len(self._entries) < self._most or (lane",
        "kill-web",
    ),
    Bug(
        "the uplink gives up after one connection",
        "edge/uplink.py",
        "            backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)",
        "            backoff_s = 3600.0",
        "cut-link",
        also=(("min(backoff_s, most_s) * share", "backoff_s * share"),),
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
        "answers-late",
        2,
        guard=KEY,
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
    Bug(
        "an acknowledgement is in memory only",
        "edge/acquisition.py",
        "        self._store.put_event(record)\n\n    def _record",
        '        if change.change != "acknowledged":\n            self._store.put_event(record)\n\n    def _record',
        "alarm",
        600,
    ),
    Bug(
        "an operator is answered before the commit",
        "edge/station.py",
        "            return await asyncio.wait_for(self.commit(), KEEP_S)\n",
        "            return True\n",
        "alarm",
        1500,
    ),
    Bug(
        "an active alarm is raised again after a restart",
        "edge/alarms/engine.py",
        "    stood = before.get(rule.name)\n",
        "    stood = None\n",
        "alarm",
        600,
    ),
    Bug(
        "an acknowledged alarm is unacknowledged after a restart",
        "edge/spool/standings.py",
        "    if stands is not None and stands.occurrence == raised.occurrence:\n",
        "    if False:\n",
        "alarm",
        600,
    ),
    Bug(
        "a command is answered though its alarm does not take it",
        "edge/commands.py",
        '            return DONE, f"{by}: {await handler.act(arguments, order)}"\n',
        "            return DONE, f\"{by}: {order.arguments['alarm']} acknowledged, shelved\"\n",
        "alarm",
        600,
    ),
)


def plant(bug: Bug, tree: Path) -> None:
    """Change the copy. Raises ValueError if the place is not there exactly once: the table has to follow the code."""
    for file, old, new in bug.changes:
        path = tree / file
        text = path.read_text("utf-8")
        if text.count(old) != 1:
            raise ValueError(f"'{bug.name}': {file} has its place {text.count(old)} times, not once")
        path.write_text(text.replace(old, new), "utf-8")


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
    parser.add_argument("--only", default="", help="bugs whose name has one of these in it, with commas")
    options = parser.parse_args()
    chosen = [bug for bug in BUGS if any(words in bug.name for words in options.only.split(","))]
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
