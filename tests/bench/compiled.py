"""Programs in C on libmodbus: instruments that are not ours, and raw limits. Compiled when their source is new."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def build(name: str) -> Path:
    """Compile ``<name>.c`` of this folder with libmodbus. Raises RuntimeError if the machine cannot."""
    source, program = HERE / f"{name}.c", Path("build/bench") / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/usr/include/modbus/modbus.h").exists():
        raise RuntimeError("gcc or libmodbus-dev is missing: apt-get install gcc libmodbus-dev")
    program.parent.mkdir(parents=True, exist_ok=True)
    options = ["-O2", "-Wall", "-Werror", "-I/usr/include/modbus", str(source), "-o", str(program)]
    subprocess.run([compiler, *options, "-lmodbus", "-lpthread", "-lutil"], check=True)
    return program
