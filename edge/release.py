"""The release that runs."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path


def find_release() -> str:
    """Read the version: of a bundle from release.json beside the program's folder, else of the installed package."""
    if not getattr(sys, "frozen", False):
        return metadata.version("fengsui")
    document = json.loads((Path(sys.executable).parent.parent / "release.json").read_bytes())
    return str(document["version"])


RELEASE = find_release()
