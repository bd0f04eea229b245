"""The support bundle: one small archive of what helps to tell why a gateway is not as it should be.

What goes in is made here, part by part; no folder is ever packed, so that a file nobody thought of cannot go along.
"""

from __future__ import annotations

import io
import json
import os
import platform
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.clock import SystemClock
from edge.diagnosis.secrets import hide_in_document
from edge.updates.slots import VARIABLE

LINES = Path("/dev/serial/by-id")
SLOTS = "slot.json"
PORTS_MOST = 64


def pack(documents: Mapping[str, Any], log: bytes) -> bytes:
    """Make the archive: a JSON file for each document, without secrets, and the log."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, document in documents.items():
            file.writestr(
                f"{name}.json", json.dumps(hide_in_document(document), ensure_ascii=False, indent=1, sort_keys=True)
            )
        file.writestr("agent.log", log)
    return archive.getvalue()


def describe_machine(clock: SystemClock) -> dict[str, Any]:
    """Return facts of kernel, clock and serial ports."""
    state = clock.state()
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "clock": state.quality,
        "clock_offset_ns": state.offset_ns,
        "boot": clock.boot,
        "serial_ports": sorted(os.listdir(LINES))[:PORTS_MOST] if LINES.is_dir() else [],
    }


def read_slots(environment: Mapping[str, str] = os.environ) -> Any:
    """Return what the launcher has noted, None where no launcher runs the agent or its note cannot be read."""
    folder = environment.get(VARIABLE)
    if not folder:
        return None
    try:
        return json.loads((Path(folder) / SLOTS).read_text("utf-8"))
    except (OSError, ValueError):
        return None
