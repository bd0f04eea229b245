"""A fleet with many gateways that speak a little, releases for them, and rollouts."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.gateways.models import Gateway
from fleet.releases.models import Artifact
from fleet.rollouts import actions, offering, service
from fleet.rollouts.engine import Engine
from fleet.rollouts.models import Rollout, UpdateAction
from fleet.rollouts.plan import read_plan
from fleet.sites import service as sites
from tests.fleet.conftest import START_NS, Clock

NEW, OLD = "0.2.0", "0.1.0"
SITES = {"north": "chemical", "south": "weather"}


def make_artifact(version: str = NEW, hardware: str = "x86_64", kind: str = "agent") -> Artifact:
    return Artifact(
        kind=kind,
        version=version,
        hardware=[hardware],
        filename=f"{kind}-{version}-{hardware}",
        size=10,
        sha256="a" * 64,
        sha1="b" * 40,
        md5="c" * 32,
        added_ns=START_NS,
        added_by="li",
        published_ns=START_NS,
    )


def make_gateway(name: str, site: str | None = "north", **changes: Any) -> Gateway:
    reported = {"installs": ["agent"], "hardware": "x86_64"}
    fields = {"release": OLD, "reported": reported, "reported_ns": START_NS, "last_seen_ns": START_NS}
    return Gateway(name=name, site_key=site, token_hash="", created_ns=START_NS, **{**fields, **changes})


class Park:
    """The fleet: ``gw-00`` and so on, the even ones in the north, the odd ones in the south."""

    def __init__(self, services: Services, count: int = 10) -> None:
        self.services = services
        self.engine = Engine(services)
        self.names = [f"gw-{number:02d}" for number in range(count)]
        with services.database.writing() as session:
            for key, sector in SITES.items():
                sites.add(session, key, key.title(), sector, None, None)
            session.flush()
            session.add_all(
                make_gateway(name, ("north", "south")[number % 2]) for number, name in enumerate(self.names)
            )
            session.add_all([make_artifact(), make_artifact(hardware="aarch64")])

    @property
    def clock(self) -> Clock:
        assert isinstance(self.services.clock, Clock)
        return self.services.clock

    def create(self, *, start: bool = True, approval_from: int = 1000, author: str = "li", **changes: Any) -> int:
        plan = read_plan({"name": "new agent", "version": NEW, **changes})
        with self.services.database.writing() as session:
            rollout = service.create(session, plan, author, self.clock(), approval_from)
            if start:
                service.start(session, rollout.id, self.clock())
            return rollout.id

    def turn(self) -> None:
        self.engine.turn()

    def offered(self) -> set[str]:
        """Take a turn, and return who has something on offer."""
        self.turn()
        with self.services.database.reading() as session:
            return {gateway for gateway, _, _ in offering.find_offers(session)}

    def targets(self) -> dict[str, Any]:
        with self.services.database.reading() as session:
            return {gateway: target for gateway, _, target in offering.find_offers(session)}

    def say(self, step: str, *names: str, detail: str = "", attempt: int | None = None) -> None:
        """Have gateways report a step of their newest action."""
        with self.services.database.writing() as session:
            for name in names:
                action = actions.list_newest(session, name, 1)[0]
                actions.note(session, action, step, detail, self.clock(), attempt=attempt)

    def change(self, verb: str, rollout_id: int, *arguments: Any) -> None:
        with self.services.database.writing() as session:
            getattr(service, verb)(session, rollout_id, *arguments)

    def rollout(self, rollout_id: int) -> Rollout:
        with self.services.database.reading() as session:
            return service.get(session, rollout_id)

    def action(self, name: str) -> UpdateAction:
        with self.services.database.reading() as session:
            return actions.list_newest(session, name, 1)[0]

    def waves(self, rollout_id: int) -> list[set[str]]:
        query = sa.select(UpdateAction.wave, UpdateAction.gateway).where(UpdateAction.rollout_id == rollout_id)
        with self.services.database.reading() as session:
            rows = session.execute(query).all()
        return [{name for wave, name in rows if wave == number} for number in range(1 + max(wave for wave, _ in rows))]

    def audited(self) -> list[tuple[str, dict[str, Any]]]:
        query = sa.select(AuditLine).where(AuditLine.actor == "fleet").order_by(AuditLine.id)
        with self.services.database.reading() as session:
            return [(line.action, msgspec.json.decode(line.detail)) for line in session.scalars(query)]
