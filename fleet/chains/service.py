"""Chains: keep rules, note quakes, fire each rule once per quake, and see who has done what was asked.

`consider` only notes, in whatever transaction the quake is written in; it needs no key and fails for no rule. `settle`,
a task of upkeep, holds what is noted against the rules: the firing and its commands are one transaction, so a restart
in between finds either none of it or all of it, and a rule fires once for a quake whoever asks how often.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.chains.decision import LATE as TOO_LATE
from fleet.chains.decision import Place, Quake, Reading, Verdict, judge
from fleet.chains.models import FIRED, LATE, ChainAction, ChainFiring, ChainInspection, ChainQuake, ChainRule
from fleet.chains.rules import Hurry, Inspect, Raise, Rule
from fleet.commands import service as commands
from fleet.commands.models import GatewayCommand
from fleet.commands.service import KeyLoader
from fleet.db import take_turn
from fleet.errors import ConflictError, FleetError, NotFoundError
from fleet.gateways.models import Gateway
from fleet.sites.models import Site
from wire.mandate import HURRY, RAISE, HurryRequest, RaiseRequest

NS = 1_000_000_000
ENGINE = Actor("fleet", "upkeep")
ANSWER_NS = 60 * NS
"""A gateway that has not answered for so long is told of as one that does not."""
WATCH_NS = 86_400 * NS
"""So long what was not done is an alarm; after that it stands in the list and in the journal."""
KEEP_NS = 90 * 86_400 * NS
DRILL = "drill-"
LIST_LETTERS_MOST = 400
COMMENT_MOST = 500
TAKE_BACK_S = 24 * 3600.0
"""How long a command that takes something back is sent."""


# rules


def put_rules(session: Session, rules: Sequence[Rule], by: str, now_ns: int) -> list[str]:
    """Keep these rules instead of those there are. A rule of a known name stays on or off as it is, a new one is on.

    Returns the names of those that went. Raises NotFoundError if a site or gateway that they name is not there.
    """
    check_names(session, rules)
    known = {row.name: row for row in session.scalars(sa.select(ChainRule))}
    for position, rule in enumerate(rules):
        row = known.pop(rule.name, None)
        if row is None:
            row = ChainRule(name=rule.name, is_on=True)
            session.add(row)
        row.position, row.content, row.changed_ns, row.changed_by = position, msgspec.to_builtins(rule), now_ns, by
    for row in known.values():
        session.delete(row)
    session.flush()
    return sorted(known)


def check_names(session: Session, rules: Sequence[Rule]) -> None:
    """See that every site and gateway that rules name is there, and that a site to measure from has a position.

    Raises NotFoundError that tells all that are not.
    """
    sites = {site.key: site for site in session.scalars(sa.select(Site))}
    gateways = set(session.scalars(sa.select(Gateway.name).where(Gateway.retired_ns.is_(None))))
    missing = []
    for rule in rules:
        steps: list[Raise | Hurry | Inspect] = [*rule.raises, *rule.hurries, *rule.inspects]
        named = {key for step in steps for key in step.sites} | ({rule.site} if rule.site else set())
        missing += [f"'{rule.name}': there is no site '{key}'" for key in sorted(named - sites.keys())]
        asked = {name for step in (*rule.raises, *rule.hurries) for name in step.gateways}
        missing += [f"'{rule.name}': there is no gateway '{name}'" for name in sorted(asked - gateways)]
        if rule.site in sites and sites[rule.site].lat is None:
            missing.append(f"'{rule.name}': site '{rule.site}' has no position to measure from")
    if missing:
        raise NotFoundError("\n  ".join(["the rules name what is not there", *missing]), hint="correct the file")


def find_doubts(session: Session, rules: Sequence[Rule]) -> list[str]:
    """What would come to nothing as the gateways run now: told to whoever imports rules, and no mistake by itself."""
    doubts = []
    for rule in rules:
        for step in rule.raises:
            for gateway, trouble in _find_gateways(session, step):
                doubts += [f"'{rule.name}': {trouble}"] if trouble else _doubt(session, rule, gateway, step.alarm)
        for hurry in rule.hurries:
            doubts += [f"'{rule.name}': {trouble}" for _, trouble in _find_gateways(session, hurry) if trouble]
    return doubts


def _doubt(session: Session, rule: Rule, gateway: str, alarm: str) -> list[str]:
    reported = session.scalar(sa.select(Gateway.reported).where(Gateway.name == gateway)) or {}
    if RAISE not in reported.get("commands", []):
        return [f"'{rule.name}': gateway '{gateway}' does not carry out '{RAISE}' yet: update it"]
    if alarm not in alarms_of(reported):
        return [f"'{rule.name}': gateway '{gateway}' has no alarm '{alarm}' yet: send it a configuration with it"]
    return []


def list_rules(session: Session) -> list[tuple[ChainRule, Rule]]:
    """The rules in their order, each as its row and as what it says; less those that this release cannot read."""
    rows = session.scalars(sa.select(ChainRule).order_by(ChainRule.position, ChainRule.name))
    return [(row, rule) for row in rows if (rule := read_content(row.content)) is not None]


def read_content(content: Mapping[str, Any]) -> Rule | None:
    """Read a rule that was kept; None if a later release wrote what this one does not know (`watch` tells of it)."""
    try:
        return msgspec.convert(content, Rule)
    except msgspec.ValidationError:
        return None


def get_rule(session: Session, name: str) -> ChainRule:
    """Return a rule's row. Raises NotFoundError."""
    row = session.get(ChainRule, name)
    if row is None:
        raise NotFoundError(f"there is no chain '{name}'")
    return row


def switch(session: Session, name: str, *, is_on: bool, by: str, now_ns: int) -> None:
    """Switch a rule on or off. What happened while it was off does not fire it later."""
    row = get_rule(session, name)
    row.is_on, row.changed_ns, row.changed_by = is_on, now_ns, by
    session.flush()


# quakes


def consider(
    session: Session,
    quake_id: int | str,
    intensity: float,
    latitude: float | None,
    longitude: float | None,
    at_ns: int,
    now_ns: int,
    *,
    readings: Sequence[Reading] | None = None,
    is_rejected: bool = False,
) -> None:
    """Note what is known of a quake, to be held against the rules. Call it whenever it has grown, as often as you like.

    ``readings`` are all stations that count; None is one station at the given position. ``at_ns`` is the onset in UTC.
    Of a station the highest intensity counts, with the quality it was measured with, until the station counts no more.
    """
    name = str(quake_id)
    found = (Reading("", intensity, latitude, longitude),) if readings is None else readings
    take_turn(session)  # as `settle` does, before any row: neither waits for the other in a circle
    _ensure(session, name, at_ns, now_ns)
    row = session.get_one(ChainQuake, name, with_for_update=True, populate_existing=True)
    merged: dict[str, Any] = {}
    for reading in found:  # a station may stand there twice: of the gateway before and of the one in its place
        known = merged.get(reading.station) or row.readings.get(reading.station)
        is_higher = known is None or known["intensity"] < reading.intensity
        merged[reading.station] = msgspec.to_builtins(reading) if is_higher else known
    if merged != row.readings or is_rejected != row.is_rejected:
        row.readings, row.is_rejected, row.is_settled = merged, is_rejected, False
        session.flush()


def hand_on(session: Session, had: int | str, has: int | str, at_ns: int, now_ns: int) -> None:
    """Note that reports of the quake ``had`` are of the quake ``has`` now, whose onset is ``at_ns``: two are one, or
    one was two. A rule that ``had`` has fired does not fire again for the same shaking under another number."""
    take_turn(session)
    fired = set(
        session.scalars(sa.select(ChainFiring.rule).where(ChainFiring.quake == str(had), ChainFiring.state == FIRED))
    )
    row = session.get(ChainQuake, str(had), populate_existing=True)
    fired |= set(row.fired) if row is not None else set()
    if not fired:
        return
    _ensure(session, str(has), at_ns, now_ns)
    row = session.get_one(ChainQuake, str(has), with_for_update=True, populate_existing=True)
    row.fired = sorted(fired.union(row.fired))
    session.flush()


def forget(session: Session, quake_id: int | str) -> None:
    """Forget a quake that turned out to be part of another, which goes on in its place (`hand_on`)."""
    take_turn(session)
    session.execute(sa.delete(ChainQuake).where(ChainQuake.quake == str(quake_id)))


def _ensure(session: Session, quake: str, at_ns: int, now_ns: int) -> None:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {"quake": quake, "at_ns": at_ns, "readings": {}, "fired": [], "is_rejected": False}
    session.execute(
        insert(ChainQuake).values(**values, is_settled=False, noted_ns=now_ns).on_conflict_do_nothing(),
    )


def is_waiting(session: Session) -> bool:
    """Whether a quake is noted that was not held against the rules since."""
    return session.scalar(sa.select(ChainQuake.quake).where(sa.not_(ChainQuake.is_settled)).limit(1)) is not None


def settle(session: Session, load_key: KeyLoader, now_ns: int) -> list[int]:
    """Hold what was noted against the rules. Returns the ids of the firings that this made, in one transaction with
    the commands that belong to them."""
    take_turn(session)
    query = sa.select(ChainQuake).where(sa.not_(ChainQuake.is_settled)).order_by(ChainQuake.noted_ns)
    made = []
    for row in session.scalars(query.with_for_update()).all():
        quake = read_quake(row)
        for rule_row, rule in list_rules(session):
            if not rule_row.is_on or rule.name in row.fired or _has_fired(session, rule.name, row.quake):
                continue
            verdict = judge(rule, find_place(session, rule), quake, now_ns)
            if verdict.fires or verdict.reason == TOO_LATE:
                made.append(_fire(session, load_key, rule, row, verdict, now_ns))
        row.is_settled = True
    session.flush()
    return made


def read_quake(row: ChainQuake) -> Quake:
    """What is known of a quake that was noted."""
    readings = tuple(msgspec.convert(reading, Reading) for reading in row.readings.values())
    return Quake(readings, row.at_ns, row.is_rejected)


def find_place(session: Session, rule: Rule) -> Place | None:
    """What a rule's distance counts from; None without one, or where the site has lost its position."""
    if not rule.site:
        return None if rule.lat is None or rule.lon is None else (rule.lat, rule.lon)
    site = session.get(Site, rule.site)
    return None if site is None or site.lat is None or site.lon is None else (site.lat, site.lon)


def _has_fired(session: Session, rule: str, quake: str) -> bool:
    query = sa.select(ChainFiring.id).where(ChainFiring.rule == rule, ChainFiring.quake == quake)
    return session.scalar(query) is not None


def _fire(session: Session, load_key: KeyLoader, rule: Rule, row: ChainQuake, verdict: Verdict, now_ns: int) -> int:
    firing = ChainFiring(
        rule=rule.name,
        quake=row.quake,
        state=FIRED if verdict.fires else LATE,
        is_drill=False,
        intensity=verdict.intensity,
        at_ns=row.at_ns,
        fired_ns=now_ns,
        by="",
        content=msgspec.to_builtins(rule),
    )
    session.add(firing)
    session.flush()
    if verdict.fires:
        _carry_out(session, load_key, firing, rule, f"chain {rule.name}", now_ns)
    detail = {"quake": row.quake, "intensity": verdict.intensity, "state": firing.state, "firing": firing.id}
    audit.append(session, now_ns, ENGINE, "chain.fire", rule.name, detail)
    return firing.id


def drill(session: Session, load_key: KeyLoader, name: str, by: str, now_ns: int) -> int:
    """Try a rule: gateways answer what they would do, and do nothing. Returns the id of the firing."""
    rule = read_content(get_rule(session, name).content)
    if rule is None:
        raise ConflictError(f"chain '{name}' cannot be read by this release", hint="import the rules anew")
    firing = ChainFiring(
        rule=name,
        quake=DRILL + secrets.token_hex(8),
        state=FIRED,
        is_drill=True,
        intensity=rule.intensity,
        at_ns=now_ns,
        fired_ns=now_ns,
        by=by,
        content=msgspec.to_builtins(rule),
    )
    session.add(firing)
    session.flush()
    _carry_out(session, load_key, firing, rule, by, now_ns)
    return firing.id


# what is asked of gateways


def _carry_out(
    session: Session, load_key: KeyLoader, firing: ChainFiring, rule: Rule, author: str, now_ns: int
) -> None:
    asked = Asking(session, load_key, firing, author, rule.send_min * 60, now_ns)
    why = f"{'drill of ' if firing.is_drill else ''}{rule.title or rule.name}: {firing.intensity:g}"[:200]
    for one in rule.raises:
        request = RaiseRequest(alarm=one.alarm, why=why, drill=firing.is_drill)
        for gateway, trouble in _find_gateways(session, one):
            asked.ask(RAISE, gateway, one.alarm, request, trouble)
    for hurry in rule.hurries:
        wanted = HurryRequest(
            groups=hurry.groups,
            every_s=hurry.every_s,
            lasts_s=hurry.lasts_min * 60,
            why=why,
            drill=firing.is_drill,
        )
        for gateway, trouble in _find_gateways(session, hurry):
            asked.ask(HURRY, gateway, ", ".join(hurry.groups), wanted, trouble)
    for inspect in rule.inspects:
        _list_places(session, firing, inspect)
    session.flush()
    _tell_inspection(session, firing, now_ns)


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


def _find_gateways(session: Session, step: Raise | Hurry) -> Iterator[tuple[str, str]]:
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


def take_back(session: Session, load_key: KeyLoader, firing_id: int, by: str, now_ns: int) -> int:
    """Ask the gateways of a firing to clear what it raised and to read as configured again. Returns how many.

    Raises NotFoundError, or ConflictError for a drill: it changed nothing.
    """
    firing = get_firing(session, firing_id)
    if firing.is_drill:
        raise ConflictError("a drill has changed nothing that could be taken back")
    query = sa.select(ChainAction).where(ChainAction.firing_id == firing_id, ChainAction.command_id.is_not(None))
    asked = Asking(session, load_key, firing, by, TAKE_BACK_S, now_ns)
    rows = session.scalars(query.where(ChainAction.holds).order_by(ChainAction.id)).all()
    for row in rows:
        command = session.get_one(GatewayCommand, row.command_id)
        request: RaiseRequest | HurryRequest
        if row.kind == RAISE:
            request = RaiseRequest(alarm=row.what, holds=False)
        else:
            made = msgspec.convert(command.arguments, HurryRequest)
            request = msgspec.structs.replace(made, lasts_s=0, why="")
        asked.ask(row.kind, row.gateway, row.what, request, "", holds=False)
    session.flush()
    return len(rows)


# what gateways answered


def get_firing(session: Session, firing_id: int) -> ChainFiring:
    """Return a firing. Raises NotFoundError."""
    row = session.get(ChainFiring, firing_id)
    if row is None:
        raise NotFoundError(f"no chain has fired under the number {firing_id}")
    return row


def list_firings(session: Session, limit: int, before: int | None = None) -> Sequence[ChainFiring]:
    """Firings and drills, newest first; ``before`` is the id of the last one seen."""
    query = sa.select(ChainFiring).order_by(ChainFiring.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(ChainFiring.id < before)).all()


def list_actions(session: Session, firing_ids: Sequence[int]) -> list[tuple[ChainAction, GatewayCommand | None]]:
    """What was asked of whom, in the order asked, with the command if one could be sent."""
    query = sa.select(ChainAction, GatewayCommand).outerjoin(
        GatewayCommand, GatewayCommand.id == ChainAction.command_id
    )
    found = session.execute(query.where(ChainAction.firing_id.in_(firing_ids)).order_by(ChainAction.id))
    return [(row[0], row[1]) for row in found]


def state_of(action: ChainAction, command: GatewayCommand | None, now_ns: int) -> str:
    """How a request stands: as a command does, ``unsent`` if there is none, ``silent`` if nobody has answered yet."""
    if command is None:
        return "unsent"
    state = commands.state(command, now_ns)
    return "silent" if state == "pending" and now_ns - action.made_ns >= ANSWER_NS else state


def watch(session: Session, now_ns: int) -> None:
    """Raise an alarm of the fleet's own for each firing that a gateway has not carried out, and clear it once all have.
    Drills call nobody."""
    query = sa.select(ChainFiring).where(sa.not_(ChainFiring.is_drill), ChainFiring.fired_ns > now_ns - WATCH_NS)
    firings = {firing.id: firing for firing in session.scalars(query)}
    amiss: dict[str, list[str]] = {}
    for action, command in list_actions(session, list(firings)):
        state = state_of(action, command, now_ns)
        if state not in ("done", "pending"):
            detail = action.trouble or (command.detail if command is not None else "")
            subject = name_firing(firings[action.firing_id])
            amiss.setdefault(subject, []).append(" ".join(f"{action.gateway}: {state} {detail}".split()))
    amiss |= {
        name_firing(firing): ["the fleet learnt of the quake too late, nothing was set going"]
        for firing in firings.values()
        if firing.state == LATE
    }
    for row in session.scalars(sa.select(ChainRule)):
        if read_content(row.content) is None:
            amiss[row.name] = ["this release cannot read the rule: import the rules anew"]
    details = {subject: "; ".join(lines)[:LIST_LETTERS_MOST] for subject, lines in amiss.items()}
    own.settle(session, own.FLEET, own.CHAIN, details, now_ns)


def name_firing(firing: ChainFiring) -> str:
    """How a firing is called among alarms."""
    return f"{firing.rule}#{firing.id}"


def prune(session: Session, now_ns: int) -> None:
    """Forget quakes that were noted long ago. What fired stays."""
    gone = ChainQuake.noted_ns < now_ns - KEEP_NS
    session.execute(sa.delete(ChainQuake).where(gone, ChainQuake.is_settled))


# inspections


def _list_places(session: Session, firing: ChainFiring, inspect: Inspect) -> None:
    query = sa.select(Site).where(sa.or_(Site.key.in_(inspect.sites), Site.sector.in_(inspect.sectors)))
    sites = [(site.key, site.title) for site in session.scalars(query.order_by(Site.title, Site.key))]
    for key, place in [*sites, *(("", place) for place in inspect.places)]:
        session.add(
            ChainInspection(firing_id=firing.id, title=inspect.title, site_key=key, place=place, done_by="", comment="")
        )


def list_inspections(session: Session, firing_ids: Sequence[int]) -> Sequence[ChainInspection]:
    """What is to be looked at, in its order."""
    query = sa.select(ChainInspection).where(ChainInspection.firing_id.in_(firing_ids))
    return session.scalars(query.order_by(ChainInspection.id)).all()


def tick(
    session: Session, item_id: int, by: str, comment: str, now_ns: int, *, is_done: bool = True
) -> ChainInspection:
    """Tick a place off, or take that back. Raises NotFoundError, or ConflictError if somebody else has done it."""
    item = session.get(ChainInspection, item_id, with_for_update=True)
    if item is None:
        raise NotFoundError(f"nothing is to be inspected under the number {item_id}")
    if is_done and item.done_ns is not None:
        raise ConflictError(f"'{item.place}' was ticked off by {item.done_by} already")
    item.done_ns, item.done_by = (now_ns, by) if is_done else (None, "")
    item.comment = comment.strip()[:COMMENT_MOST]
    session.flush()
    _tell_inspection(session, get_firing(session, item.firing_id), now_ns)
    return item


def _tell_inspection(session: Session, firing: ChainFiring, now_ns: int) -> None:
    """While something is left to be looked at, that is an alarm, by which `fleet.notifications` tells people."""
    left = [item for item in list_inspections(session, [firing.id]) if item.done_ns is None]
    if firing.is_drill:
        return
    if not left:
        own.clear_alarm(session, own.FLEET, own.INSPECTION, now_ns, name_firing(firing))
        return
    titles = dict.fromkeys(item.title for item in left)
    places = "、".join(item.place for item in left)
    if len(places) > LIST_LETTERS_MOST:
        places = f"{places[:LIST_LETTERS_MOST]}… ({len(left)})"
    detail = f"{'、'.join(titles)}: {places}"
    own.raise_alarm(session, own.FLEET, own.INSPECTION, detail, now_ns, name_firing(firing))
