"""A thin link of the kernel's own making: a network namespace whose only way out is a pair of interfaces with a token
bucket on both ends. Needs root, ip and tc."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

OCTETS_PER_S = 1000
"""Of frames, all headers included."""
BURST_OCTETS = 1600
"""One full frame: what the bucket of the kernel needs at least."""
QUEUE_OCTETS = 3000
"""What a modem holds: two full frames. More is dropped."""


class ThinLink(msgspec.Struct, frozen=True):
    """``outside`` is the address by which the namespace reaches this side; ``inside`` the command that enters it."""

    outside: str
    inside: tuple[str, ...]


@contextmanager
def thin_link() -> Iterator[ThinLink]:
    """Make a namespace behind a link of 1 kB/s both ways, and remove it at the end."""
    name = f"bench{os.getpid()}"
    net = f"169.254.{os.getpid() % 250}"
    inside = ("ip", "netns", "exec", name)
    bucket = f"root tbf rate {OCTETS_PER_S * 8}bit burst {BURST_OCTETS} limit {QUEUE_OCTETS}".split()
    with ExitStack() as stack:
        _run("ip", "netns", "add", name)
        stack.callback(_run, "ip", "netns", "del", name)
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "wan", "netns", name)
        _run("ip", "address", "add", f"{net}.1/30", "dev", name)
        _run("ip", "link", "set", name, "up")
        _run(*inside, "ip", "address", "add", f"{net}.2/30", "dev", "wan")
        _run(*inside, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=reno")  # fills the queue, as cubic
        for interface in ("lo", "wan"):
            _run(*inside, "ip", "link", "set", interface, "up")
        _run("tc", "qdisc", "add", "dev", name, *bucket)
        _run(*inside, "tc", "qdisc", "add", "dev", "wan", *bucket)
        yield ThinLink(f"{net}.1", inside)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
