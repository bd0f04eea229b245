"""Random, seeded faults against the district in a box, judged by an independent count.

Each trial injects one fault, lets it act, then waits until every instrument's newest scan is at the platform again. The
kinds ``kill`` and ``power-cut`` alone do so by the hundred: see `tests.faults.storms`; ``alarm`` alone lets 10,000
alarms begin meanwhile: see `tests.faults.alarm_storm`; ``acl`` alone tries every gateway's rights at the brokers: see
`tests.faults.acl`; ``update`` alone kills gateways in their updates: see `tests.faults.updates`. At the end the
instruments fall silent and the counts must agree. The last line is one JSON object; the exit status is 0 only if
nothing failed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from lab.errors import LabError
from tests.faults.acl import ACL, GATEWAYS
from tests.faults.alarm_storm import ALARMS
from tests.faults.scene import say
from tests.faults.trials import ALARM, run
from tests.faults.updates import KILLS, UPDATE

TRIALS = 6
SCALE = (
    "scale: what lasts up to 300 s in the field is 1 to 15 s here, a day's outage of a platform 3 to 12 s; the fleet is"
    " restored to seconds ago, not to a day ago"
)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument(
        "--trials",
        type=int,
        help=f"{TRIALS} if not given; of alarm alone, {ALARMS} alarms, of acl {GATEWAYS} gateways,"
        f" of update {KILLS} kills",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", help="one, or several with commas; all if not given")
    options = parser.parse_args()
    trials = options.trials or {ALARM: ALARMS, ACL: GATEWAYS, UPDATE: KILLS}.get(options.kind, TRIALS)
    say(SCALE)
    if options.kind == ALARM:
        say(f"scale: {trials} alarms, each for 2 to 15 s; an operator shelves for 3 to 6 s or until it clears")
    with tempfile.TemporaryDirectory(prefix="fengsui-faults-") as folder:
        try:
            counts = asyncio.run(run(Path(folder), trials, options.seed, options.kind))
        except KeyError as error:
            parser.error(f"there is no fault {error} on this machine")
        except LabError as error:
            print(f"{error}\n{error.hint}", file=sys.stderr)
            return 2
    print(msgspec.json.encode(counts).decode())
    return 0 if counts.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
