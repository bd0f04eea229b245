"""What a gateway was asked to do, for its page."""

from __future__ import annotations

import msgspec

from fleet.commands import service as commands
from fleet.overview.sources import Sources

SHOWN = 8


class CommandLine(msgspec.Struct, frozen=True, kw_only=True):
    """One command. ``state``: pending, done, failed, refused, interrupted or expired."""

    name: str
    author: str
    state: str
    detail: str
    issued_ns: int


def list_commands(sources: Sources, gateway: str) -> tuple[CommandLine, ...]:
    """Return a gateway's newest commands."""
    return tuple(
        CommandLine(
            name=row.name,
            author=row.author,
            state=commands.state(row, sources.now_ns),
            detail=row.detail,
            issued_ns=row.issued_ns,
        )
        for row in commands.list_newest(sources.session, gateway, SHOWN)
    )
