"""Which rows an account of an enterprise sees: those of its own sites, whatever query asks for them.

A session opened with a scope adds the condition to every table that a query names, also in subqueries, counts and
look-ups by key. A table that no rule names gives such an account no row at all, so a new table is shut until somebody
says how its rows belong to a site.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from fleet.accounts.models import AccountSite
from fleet.alarms.models import Alarm, AlarmEvent, DeviceRate
from fleet.commissioning.models import Commissioning, OutputTrial, ReportedChecks
from fleet.db import Base, Database
from fleet.gateways.models import Cursor, Device, Gateway, Layout, Tag
from fleet.ledger.models import Loss, Tally
from fleet.quakes.models import StationQuake, Street
from fleet.readings.models import LostMinute, Reading, ReadingHour, ReadingMinute, Record
from fleet.rollouts.models import UpdateAction, UpdateEvent
from fleet.sites.models import ExpectedDevice, Site
from fleet.waveforms.models import Waveform, WaveHour, WaveMinute, WaveRun, WaveStream

ACCOUNT = "account"
"""Key of a session's account in what is kept in it."""
NOBODY = 0
"""An account that does not exist, and so sees nothing."""

BY_GATEWAY: tuple[type[Base], ...] = (
    Alarm,
    AlarmEvent,
    DeviceRate,
    Device,
    Cursor,
    Layout,
    Tag,
    Loss,
    Tally,
    Record,
    Commissioning,
    OutputTrial,
    ReportedChecks,
    UpdateAction,
    StationQuake,
    WaveStream,
)
PUBLIC: tuple[type[Base], ...] = (Street,)
"""What tells nothing of anybody."""
BY_TAG: tuple[type[Base], ...] = (Reading, ReadingMinute, ReadingHour, LostMinute)
BY_STREAM: tuple[type[Base], ...] = (Waveform, WaveMinute, WaveHour, WaveRun)


class ScopedSession(Session):
    """A session that shows only what one account may see."""


def reading(database: Database, account_id: int | None) -> AbstractContextManager[Session]:
    """Open a session that only reads, bound to the sites of an account; None for all of them."""
    if account_id is None:
        return database.reading()
    return database.reading(ScopedSession, {ACCOUNT: account_id})


def _conditions(account_id: int) -> dict[type[Base], Any]:
    """{table: which of its rows belong to the account's sites}. Plain tables inside: they are not scoped again."""
    account_site, gateway, tag = AccountSite.__table__, Gateway.__table__, Tag.__table__
    stream = WaveStream.__table__
    action = UpdateAction.__table__
    sites = sa.select(account_site.c.site_key).where(account_site.c.account_id == account_id)
    gateways = sa.select(gateway.c.name).where(gateway.c.site_key.in_(sites))
    tags = sa.select(tag.c.id).where(tag.c.gateway.in_(gateways))
    streams = sa.select(stream.c.id).where(stream.c.gateway.in_(gateways))
    return {
        Site: Site.key.in_(sites),
        Gateway: Gateway.site_key.in_(sites),
        ExpectedDevice: ExpectedDevice.site_key.in_(sites),
        UpdateEvent: UpdateEvent.action_id.in_(sa.select(action.c.id).where(action.c.gateway.in_(gateways))),
        **{table: sa.true() for table in PUBLIC},
        **{table: table.gateway.in_(gateways) for table in BY_GATEWAY},  # type: ignore[attr-defined]
        **{table: table.tag_id.in_(tags) for table in BY_TAG},  # type: ignore[attr-defined]
        **{table: table.stream_id.in_(streams) for table in BY_STREAM},  # type: ignore[attr-defined]
    }


def _restrict(state: ORMExecuteState) -> None:
    shown = _conditions(state.session.info[ACCOUNT])
    state.statement = state.statement.options(
        *(
            with_loader_criteria(mapper.class_, shown.get(mapper.class_, sa.false()), include_aliases=True)
            for mapper in Base.registry.mappers
        )
    )


event.listen(ScopedSession, "do_orm_execute", _restrict)


def sees_gateway(session: Session, name: str) -> bool:
    """Tell whether a gateway is within the session's scope."""
    return session.scalar(sa.select(Gateway.name).where(Gateway.name == name)) is not None
