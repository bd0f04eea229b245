"""What a chain asks of gateways: who is meant by a step, and the commands sent to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.chains.models import ChainAction, ChainFiring
from fleet.chains.rules import Hurry, Raise
from fleet.commands import service as commands
from fleet.commands.service import KeyLoader
from fleet.errors import FleetError
from fleet.gateways.models import Gateway
from fleet.sites.models import Site
from wire.mandate import HurryRequest, RaiseRequest


class Asking:
    """Asks gateways on behalf of one firing: what cannot be sent is noted with its reason, and holds up no other."""

    def __init__(
        self, session: Session, load_key: KeyLoader, firing: ChainFiring, author: str, send_s: float, now_ns: int
    ) -> None:
        self._session = session
        self._load_key = load_key
        self._firing = firing
        self._author = author
        self._send_s = send_s
        self._now_ns = now_ns

    def ask(
        self,
        kind: str,
        gateway: str,
        what: str,
        request: RaiseRequest | HurryRequest,
        trouble: str,
        *,
        holds: bool = True,
    ) -> None:
        """Ask one gateway, unless there is a ``trouble`` already."""
        command_id = None
        if not trouble:
            try:
                arguments = msgspec.to_builtins(request)
                row = commands.issue(
                    self._session, self._load_key, gateway, kind, arguments, self._author, self._send_s, self._now_ns
                )
                command_id = row.id
            except FleetError as error:
                trouble = str(error)
        self._session.add(
            ChainAction(
                firing_id=self._firing.id,
                kind=kind,
                gateway=gateway,
                what=what,
                holds=holds,
                made_ns=self._now_ns,
                command_id=command_id,
                trouble=trouble,
            )
        )


def find_gateways(session: Session, step: Raise | Hurry) -> Iterator[tuple[str, str]]:
    """The gateways that a step is for, each with why it cannot be asked, "" if it can: those named, and those of sites
    and sectors that report to have what the step names. Nobody at all is told as a trouble of no gateway."""
    found = list(step.gateways)
    query = sa.select(Gateway).join(Site, Site.key == Gateway.site_key).where(Gateway.retired_ns.is_(None))
    query = query.where(sa.or_(Site.key.in_(step.sites), Site.sector.in_(step.sectors))).order_by(Gateway.name)
    found += [gateway.name for gateway in session.scalars(query) if _has(gateway.reported or {}, step)]
    for name in dict.fromkeys(found):
        row = session.get(Gateway, name)
        yield name, "" if row is not None and row.retired_ns is None else f"gateway '{name}' is out of service"
    if not found:
        wanted = f"alarm '{step.alarm}'" if isinstance(step, Raise) else f"group {', '.join(step.groups)}"
        yield "", f"no gateway of {', '.join((*step.sites, *step.sectors))} reports to have {wanted}"


def _has(reported: Mapping[str, Any], step: Raise | Hurry) -> bool:
    if isinstance(step, Raise):
        return step.alarm in alarms_of(reported)
    tags = [tag for tag in reported.get("tags", ()) if isinstance(tag, Mapping)]
    return not {name for tag in tags for name in (tag.get("group"), tag.get("device"))}.isdisjoint(step.groups)


def alarms_of(reported: Mapping[str, Any]) -> dict[str, str]:
    """{alarm: its title} of those that a gateway reported."""
    alarms = [alarm for alarm in reported.get("alarms", ()) if isinstance(alarm, Mapping)]
    return {str(alarm.get("name")): str(alarm.get("title") or "") for alarm in alarms}
