"""Run a launcher that is killed just before its K-th durable step: killed_at.py K LAUNCHER ARGUMENTS..."""

import os
import runpy
import signal
import sys

STEPS = ("fsync", "replace", "unlink", "rename", "remove")


def main() -> None:
    left, sys.argv = int(sys.argv[1]), sys.argv[2:]

    def before(step):
        def stepped(*args, **named):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return step(*args, **named)

        return stepped

    for name in STEPS:
        setattr(os, name, before(getattr(os, name)))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
