"""The page of the gateway itself: who it is, its link to the fleet, its spool."""

from __future__ import annotations

from edge.health import State
from edge.local.markup import Child, Markup, tag
from edge.local.shell import Look, make_facts, make_form, make_page, make_panel
from edge.local.site import Arrival, Nameplate
from edge.local.words import say_duration, say_size, say_time, say_zone
from provisioning.codes import write_code
from provisioning.label import draw_inline, make_local_link
from wire.health import Health


def make_gateway(
    look: Look, identity: Nameplate, health: Health, state: State, now_ns: int | None, arrival: Arrival | None = None
) -> str:
    """Make the page. ``arrival`` is what a technician has to scan while the gateway has no identity."""
    t = look.texts
    live = tag(
        "div",
        make_panel(t("arrival"), _arrival(look, arrival)) if arrival else None,
        make_panel(t("who"), _identity(look, identity, health, state, now_ns)),
        make_panel(t("link"), _link(look, health, state)) if state.gateway else None,
        make_panel(t("spool"), _spool(look, health, state)) if state.gateway else None,
        id="gateway",
        data_live=True,
    )
    return make_page(look, "gateway", t("page-gateway"), live, _sign_out(look))


def _arrival(look: Look, arrival: Arrival) -> list[Child]:
    t = look.texts
    if not arrival.code:
        return [tag("p", t("arrival-label"), class_="why"), _standing(look, arrival)]
    link = make_local_link(arrival.url, arrival.code, arrival.key)
    return [
        tag("p", t("arrival-scan")),
        tag("div", Markup(draw_inline(link)), class_="qr", role="img", aria_label=t("arrival-scan")),
        tag("p", t("arrival-type", url=arrival.url)),
        tag("p", write_code(arrival.code), class_="code"),
        _standing(look, arrival),
    ]


def _standing(look: Look, arrival: Arrival) -> Markup:
    t = look.texts
    event, detail = arrival.standing
    said = t.word("waits", detail) if event == "enrolment-waits" else detail
    return make_facts({t("arrival-key"): arrival.key[:16], t("arrival-standing"): said or None})


def _sign_out(look: Look) -> Markup | None:
    if look.session is None:
        return None
    t = look.texts
    who = tag("p", t("signed-in-as", name=look.session.name))
    return make_form(look, "/sign-out", who, tag("button", t("sign-out"), class_="button"), class_="panel action")


def _identity(look: Look, identity: Nameplate, health: Health, state: State, now_ns: int | None) -> Markup:
    t = look.texts
    clock = t.word("clock", health.clock)
    return make_facts(
        {
            t("gateway-id"): identity.gateway,
            t("gateway-title"): identity.title or None,
            t("gateway-site"): identity.site or None,
            t("gateway-sector"): identity.sector or None,
            t("gateway-machine"): identity.machine,
            t("gateway-release"): identity.release,
            t("gateway-config"): str(state.config_version),
            **_configuration(look, state, now_ns),
            t("gateway-uptime"): say_duration(t, "for", health.uptime_s),
            t("gateway-clock"): f"{say_time(t, now_ns, now_ns)} · {clock}",
            t("gateway-zone"): say_zone(),
        }
    )


def _configuration(look: Look, state: State, now_ns: int | None) -> dict[str, Child]:
    """How the newest trial stands, who has not answered in it, and what was refused with the reason."""
    t, trial = look.texts, state.config_trial
    words = t.word("trial", trial.trial)
    if trial.since_ns is not None:
        words = f"{words} · {say_time(t, trial.since_ns, now_ns)}"
    refused = t("config-refused-figures", version=state.config_refused, reason=state.config_reason)
    return {
        t("config-trial"): f"{trial.version} · {words}" if trial.trial else None,
        t("config-unanswered"): ", ".join(trial.unanswered) or None,
        t("config-refused"): _fault(refused) if state.config_refused is not None else None,
    }


def _link(look: Look, health: Health, state: State) -> Markup:
    t = look.texts
    link = health.link
    left = link.budget_left_bytes
    return make_facts(
        {
            t("link-broker"): _yes(look, is_so=state.is_connected),
            t("link-session"): _yes(look, is_so=state.has_session),
            t("link-fault"): _fault(state.uplink_fault),
            t("link-only"): _fault(t.word("only", link.alarms_only)) if link.alarms_only else None,
            t("link-sent"): say_size(link.sent_bytes),
            t("link-rate"): f"{say_size(link.rate_bytes_per_s)}/s" if link.rate_bytes_per_s else None,
            t("link-budget"): None if left is None else say_size(left),
        }
    )


def _spool(look: Look, health: Health, state: State) -> Markup:
    t = look.texts
    lanes: dict[str, Child] = {
        t.word("lane", lane): t(
            "lane-figures", pending=account.pending, delivered=account.delivered, tombstoned=account.tombstoned
        )
        for lane, account in health.lanes.items()
    }
    size = t("spool-size", used=say_size(health.spool_bytes), most=say_size(health.spool_max_bytes))
    return make_facts(
        {
            t("spool"): size,
            **lanes,
            t("spool-fault"): _fault(state.spool_fault),
            t("dropped"): _fault(str(state.dropped)) if state.dropped else None,
        }
    )


def _yes(look: Look, *, is_so: bool) -> Markup:
    return tag("span", look.texts("yes" if is_so else "no"), class_="word" if is_so else "word bad")


def _fault(text: str) -> Markup | None:
    return tag("span", text, class_="word bad") if text else None
