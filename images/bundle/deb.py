"""Build the Debian package of the agent: `make deb`. Its octets too are the same for the same commit.

What it holds beside the bundle is in images/debian, images/systemd and images/launcher.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import string
import subprocess
import sys
from pathlib import Path

from images.bundle.build import ask, build

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
PROGRAM, SCRIPT, DATA = 0o755, 0o755, 0o644
FILES = (
    ("launcher/launch.py", "usr/lib/fengsui/launch.py", SCRIPT),
    ("debian/fengsui-edge", "usr/bin/fengsui-edge", SCRIPT),
    ("debian/sysusers.conf", "usr/lib/sysusers.d/fengsui.conf", DATA),
    ("debian/60-fengsui.rules", "usr/lib/udev/rules.d/60-fengsui.rules", DATA),
    ("debian/gateway.toml", "usr/share/doc/fengsui-edge/examples/gateway.toml", DATA),
    ("systemd/fengsui-edge.service", "usr/lib/systemd/system/fengsui-edge.service", DATA),
    ("systemd/drop-ins/gpio.conf", "usr/share/doc/fengsui-edge/examples/gpio.conf", DATA),
    ("systemd/drop-ins/pps.conf", "usr/share/doc/fengsui-edge/examples/pps.conf", DATA),
    ("systemd/drop-ins/tpm.conf", "usr/share/doc/fengsui-edge/examples/tpm.conf", DATA),
    ("../LICENSE", "usr/share/doc/fengsui-edge/copyright", DATA),
    ("debian/postinst", "DEBIAN/postinst", SCRIPT),
    ("debian/prerm", "DEBIAN/prerm", SCRIPT),
    ("debian/postrm", "DEBIAN/postrm", SCRIPT),
)
"""From below images/, to where, and its mode."""


def lay_out(images: Path, tree: Path, stage: Path, version: str) -> None:
    """Put the package's content together. ``tree``: a slot's content, the release of the first installation."""
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(tree, stage / "usr/lib/fengsui/release", symlinks=True)
    for source, target, mode in FILES:
        (stage / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(images / source, stage / target)
        (stage / target).chmod(mode)
    files = sorted(path for path in stage.rglob("*") if path.is_file() and "DEBIAN" not in path.parts)
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(stage)}\n" for path in files)  # noqa: S324
    (stage / "DEBIAN/md5sums").write_text("".join(sums))
    words = {
        "version": version,
        "architecture": ARCHITECTURES[platform.machine()],
        "libc": platform.libc_ver()[1],
        "installed": str(sum(path.stat().st_size for path in files) // 1024),
    }
    control = string.Template((images / "debian/control").read_text("utf-8")).substitute(words)
    (stage / "DEBIAN/control").write_text(control)


def settle(stage: Path, when_s: int) -> None:
    """Give everything the modes and the time that do not depend on who built it."""
    for path in [stage, *stage.rglob("*")]:
        if not path.is_symlink():
            path.chmod(PROGRAM if path.is_dir() or path.stat().st_mode & 0o100 else DATA)
        os.utime(path, (when_s, when_s), follow_symlinks=False)


def package(images: Path, tree: Path, work: Path, out: Path, version: str, when_s: int) -> Path:
    """Build the package. Returns it."""
    stage = work / "deb"
    lay_out(images, tree, stage, version)
    settle(stage, when_s)
    file = out / f"fengsui-edge_{version}_{ARCHITECTURES[platform.machine()]}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(stage), str(file)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(when_s)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
    return file


def main() -> int:
    """Build the package of this checkout."""
    root = Path(__file__).resolve().parents[2]
    version, commit, when_s = ask("make deb", root, __doc__)
    work, out = root / "build/bundle", root / "dist"
    build(root, work, out, version, commit, when_s)
    print(package(root / "images", work / "tree", work, out, version, when_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
