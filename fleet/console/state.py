"""What the console keeps between requests, and how a view reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import current_app, g

from fleet.api import reading
from fleet.bootstrap import Services
from fleet.console.streams import Slots
from fleet.overview.sources import Sources
from fleet.overview.trends import Trends

EXTENSION = "fengsui-console"


@dataclass(frozen=True)
class Console:
    """The services of the fleet, and the console's own memory."""

    services: Services
    trends: Trends = field(default_factory=Trends)
    slots: Slots = field(default_factory=Slots)

    @contextmanager
    def reading(self) -> Iterator[Sources]:
        """Open what the pages are gathered from, as of now and for who asks. What is opened inside sees the same."""
        if "sources" in g:
            yield g.sources
            return
        with reading() as session:
            g.sources = Sources(session, self.services.live, self.trends, self.services.clock())
            try:
                yield g.sources
            finally:
                del g.sources


def find_console() -> Console:
    """The console of the application at work."""
    console: Console = current_app.extensions[EXTENSION]
    return console
