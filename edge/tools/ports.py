"""Serial ports of this machine: their stable names, what is plugged in, and which program holds one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from serial.tools import list_ports

from drivers.errors import LinkError

STABLE = (Path("/dev/serial/by-id"), Path("/dev/serial/by-path"))
"""Folders of names that stay when adapters are plugged in another order; the first is the better one."""

LOCKS, PROCESSES = Path("/proc/locks"), Path("/proc")
AGENT, SERVICE = "fengsui-edge run", "fengsui-edge"


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A serial port. ``path`` is its stable name where it has one."""

    path: str
    device: str
    what: str
    held_by: str


class Holder(msgspec.Struct, frozen=True):
    """The program that has locked a port."""

    process: int
    command: str

    @property
    def is_agent(self) -> bool:
        """Tell whether it is the agent."""
        return "edge.cli run" in self.command or AGENT in self.command

    def describe(self) -> str:
        """Name it: what it is and its process number."""
        name = "the agent" if self.is_agent else self.command.partition(" ")[0].rpartition("/")[2] or "a program"
        return f"{name} (process {self.process})"


def list_serial() -> list[Port]:
    """List the serial ports that are really there, those with stable names first."""
    ports = []
    for found in list_ports.comports():
        what = " ".join(str(part) for part in (found.manufacturer, found.product) if part)
        holder = find_holder(found.device)
        stable = stable_name(found.device)
        ports.append(
            Port(
                path=stable or found.device,
                device=found.device,
                what=what or ("" if found.description == "n/a" else str(found.description)),
                held_by=holder.describe() if holder else "",
            )
        )
    return sorted(ports, key=lambda port: (port.path == port.device, port.path))


def stable_name(device: str, folders: Iterable[Path] = STABLE) -> str:
    """Find the name of a port that does not change; empty if it has none."""
    for folder in folders:
        if folder.is_dir():
            for link in sorted(folder.iterdir()):
                if os.path.realpath(link) == os.path.realpath(device):
                    return str(link)
    return ""


def find_holder(path: str) -> Holder | None:
    """Tell who holds the lock of a port, from the kernel's list of locks: that needs no root."""
    try:
        port = os.stat(path)
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(port.st_dev):02x}:{os.minor(port.st_dev):02x}:{port.st_ino}"
    for line in lines:
        words = line.replace("->", "").split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == place:
            return Holder(int(words[4]), _command(int(words[4])))
    return None


def _command(process: int) -> str:
    try:
        return (
            (PROCESSES / str(process) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        )
    except OSError:
        return ""


def with_holder(error: LinkError, url: str) -> LinkError:
    """Say in an error which program holds the port, and what to do about it, if one does."""
    holder = find_holder(urlsplit(url).path)
    if holder is None or holder.process == os.getpid():
        return error
    hint = (
        f"systemctl stop {SERVICE}, then try again; start it afterwards: alarms are not watched while it is stopped"
        if holder.is_agent
        else f"end it, or wait for it: process {holder.process}, {holder.command or 'of another user'}"
    )
    return LinkError(f"{urlsplit(url).path} is in use by {holder.describe()}", hint=hint)
