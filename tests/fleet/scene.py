"""A fleet of one gateway whose messages are committed as ingest does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from wire.conversation import Welcome
from wire.topics import Up


class Scene:
    """Says hello when made; `send` sends a batch as of now."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        with services.database.writing() as session:
            gateways.register(session, edge.GATEWAY, "", None, services.clock())
        self.session = self.hello()

    def hello(self, **changes: Any) -> str:
        message = edge.up(Up.HELLO, edge.hello(**changes), received_ns=self.services.clock())
        (reply,) = self.committer.commit([message])
        assert isinstance(reply.message, Welcome)
        return reply.message.session

    def send(self, first: int, *records: Any, **changes: Any) -> None:
        message = edge.batch(self.session, first, *records, **changes)
        assert self.committer.commit([edge.up(Up.BATCH, message, received_ns=self.services.clock())])

    def rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self.services.database.reading() as session:
            return session.execute(query).all()

    def count(self, table: Any, *where: Any) -> int:
        return int(self.rows(sa.select(sa.func.count()).select_from(table).where(*where))[0][0])


def seconds_of(at_ns: int) -> float:
    """Seconds after the start of the tests' clock."""
    return (at_ns - START_NS) / 1e9
