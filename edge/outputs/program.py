"""A program that is run to switch something: no shell, a time limit, and its exit status is its answer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from drivers.errors import DeviceError, LinkTimeoutError, SettingsError

FOLDER = "programs"
"""Beside the configuration file. What is not in it cannot be run: the fleet chooses among what is there."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""All that it gets of ours."""


class ProgramSwitch:
    """Runs one program. ``arguments`` may hold {state} and {alarm}; ``most_s`` is its time limit."""

    def __init__(self, path: Path, arguments: Sequence[str], most_s: float) -> None:
        self._path = path
        self._arguments = arguments
        self._most_s = most_s

    async def set(self, *, on: bool, cause: str) -> None:
        """Run it to its end. Raises SettingsError if it cannot be, LinkTimeoutError, or DeviceError with its status."""
        values = {"state": "on" if on else "off", "alarm": cause}
        try:
            process = await asyncio.create_subprocess_exec(
                self._path,
                *(argument.format(**values) for argument in self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            hint = "put it into the folder 'programs' beside the configuration file, and make it executable"
            raise SettingsError(f"program {self._path} cannot be run: {error.strerror}", hint=hint) from error
        status = await self._wait(process)
        if status:
            reason = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
            raise DeviceError(f"program {self._path.name} {reason}", hint="what it says is in the log", code=status)

    async def _wait(self, process: asyncio.subprocess.Process) -> int:
        try:
            async with asyncio.timeout(self._most_s):
                return await process.wait()
        except TimeoutError as error:
            message = f"program {self._path.name} was ended: it took over {self._most_s:g} s"
            raise LinkTimeoutError(message, hint="give it more time: program_s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def release(self) -> None:
        """There is nothing to let go of."""
