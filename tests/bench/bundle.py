"""How large the agent's bundle is, and whether two builds of one commit are the same octets."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from images.bundle.build import build, read_commit, read_version

ROOT = Path(__file__).resolve().parents[2]


def measure_bundle() -> dict[str, float]:
    """Size of the packed bundle in MB, and whether builds in two folders of different names gave the same file."""
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        roots = Path(folder, "one"), Path(folder, "other/place")
        for root in roots:
            _copy(root)
        commit, version = read_commit(ROOT), read_version(ROOT)
        one, other = (build(root, root / "build", root / "dist", version, *commit) for root in roots)
        return {
            "bundle_mb": one.stat().st_size / 1e6,
            "bundle_reproducible": one.read_bytes() == other.read_bytes(),
        }


def _copy(folder: Path) -> None:
    """Copy all that is tracked here."""
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in answer.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
