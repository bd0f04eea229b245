"""Joins the console to the application: languages, filters, security headers, pages for what went wrong."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, url_for
from flask_babel import Babel, gettext, lazy_gettext
from flask_login import current_user

from fleet.accounts.authorization import ROUTES, Permission
from fleet.bootstrap import Services
from fleet.console import (
    alarmviews,
    chainviews,
    claiming,
    commissioning,
    configviews,
    diagnosisviews,
    enrolments,
    gatewaylife,
    notation,
    openid,
    ownaccount,
    people,
    quakeviews,
    rolloutviews,
    signing,
    siteviews,
    tagview,
    templateviews,
    updateviews,
    waveviews,
    words,
)
from fleet.console.notation import ZONE
from fleet.console.state import EXTENSION, Console, find_console
from fleet.console.troubles import TROUBLES, show_trouble
from fleet.console.views import LANGUAGES, THEMES, blueprint
from fleet.overview.alarms import count_active

FOLDER = Path(__file__).parent
SESSION_HOURS = 12

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
PAGES = (
    alarmviews,
    chainviews,
    claiming,
    commissioning,
    configviews,
    templateviews,
    enrolments,
    openid,
    gatewaylife,
    diagnosisviews,
    ownaccount,
    people,
    quakeviews,
    rolloutviews,
    updateviews,
    signing,
    siteviews,
    waveviews,
)
"""Modules that add their pages to the one blueprint when they are imported."""
CONFIGURATIONS = (
    "console.configurations", "console.configuration", "console.edit_configuration", "console.preview_configuration",
    "console.reopen_configuration", "console.send_configuration", "console.templates", "console.add_template",
    "console.template", "console.preview_template", "console.apply_template",
)  # fmt: skip
ROLLOUTS = (
    "console.rollouts",
    "console.rollout",
    "console.new_rollout",
    "console.create_rollout",
    "console.preview_rollout",
)
GATEWAYS = ("console.gateways", "console.gateway", "console.change_gateway", "console.tag", "console.diagnosis")
MENU = (
    ("now", lazy_gettext("Now"), ("console.now",)),
    ("sites", lazy_gettext("Sites"), ("console.sites", "console.site", "console.add_site", "console.change_site")),
    (
        "gateways",
        lazy_gettext("Gateways"),
        ("console.gateways", "console.gateway", "console.tag", "console.enrolments"),
    ),
    ("claim", lazy_gettext("Add a gateway"), ("console.claim", "console.take_claim", "console.commissioning")),
    ("alarms", lazy_gettext("Alarms"), ("console.alarms", "console.alarm_statistics", "console.notifications")),
    ("quakes", lazy_gettext("Earthquakes"), ("console.quakes", "console.quake")),
    ("waveforms", lazy_gettext("Waveforms"), ("console.waveforms", "console.waveform")),
    ("chains", lazy_gettext("Chains"), ("console.chains", "console.chain_firing", "console.change_firing")),
    ("configurations", lazy_gettext("Configurations"), CONFIGURATIONS),
    ("rollouts", lazy_gettext("Updates"), ROLLOUTS),
    ("relay", lazy_gettext("Relay"), ("console.relay",)),
    ("users", lazy_gettext("Users"), ("console.users", "console.add_user", "console.change_user")),
    ("audit_log", lazy_gettext("Audit log"), ("console.audit_log",)),
)
UNDER_THUMB = ("now", "sites", "gateways", "claim", "alarms", "quakes")
"""Entries that have room at the foot of a phone; the others are behind one that opens them."""


def register(app: Flask, services: Services) -> None:
    """Add the console to an application."""
    app.config["SESSION_COOKIE_HTTPONLY"] = True
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.config["SESSION_COOKIE_SECURE"] = services.settings.cookie_secure
    app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(hours=SESSION_HOURS)
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(FOLDER / "translations")
    app.extensions[EXTENSION] = Console(services)
    app.extensions[openid.EXTENSION] = openid.make_provider(services.settings)
    Babel(app, default_locale=LANGUAGES["zh"], default_timezone=ZONE, locale_selector=find_locale)
    add_filters(app)
    app.context_processor(describe_page)
    app.register_blueprint(PAGES[0].blueprint)
    app.after_request(add_headers)
    for status in TROUBLES:
        app.register_error_handler(status, show_trouble)


def find_locale() -> str:
    """The reader's language: the one chosen, else Chinese."""
    return LANGUAGES.get(request.cookies.get("language", ""), LANGUAGES["zh"])


def add_headers(response: Response) -> Response:
    """Tell the browser what our pages may do; an answer that says so itself keeps its word."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "console.static":
        if "v" in request.args:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    elif request.blueprint == blueprint.name:
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def describe_page() -> dict[str, Any]:
    """What every page's frame shows."""
    language = "en" if find_locale() == "en" else "zh"
    theme = request.cookies.get("theme", "")
    return {
        "language": language,
        "html_language": {"zh": "zh-Hans", "en": "en"}[language],
        "theme": theme if theme in THEMES else "auto",
        "here": request.full_path.rstrip("?") if request.method == "GET" else url_for("console.now"),
        "zone": ZONE,
        "now_ms": find_console().services.clock() // 1_000_000,
        "tick_words": {"h": gettext("h"), "min": gettext("min"), "d": gettext("d")},
        "menu": describe_menu,
        "may_write": lambda: _may(Permission.OPERATE),
        "may_configure": lambda: _may(Permission.CONFIGURE),
        "may_see_fleet": lambda: _may(Permission.FLEET),
        "user_name": getattr(current_user, "name", ""),
        "asset": find_asset,
    }


def describe_menu() -> list[dict[str, Any]]:
    """The entries of the menu, each a page that exists."""
    with find_console().reading() as sources:
        active, worst = count_active(sources.session)
    return [
        {
            "href": url_for(f"console.{name}"),
            "icon": name,
            "title": title,
            "here": request.endpoint in endpoints,
            "is_first": name in UNDER_THUMB,
            "badge": active if name == "alarms" else 0,
            "badge_priority": worst,
        }
        for name, title, endpoints in MENU
        if _may(ROUTES[f"console.{name}"])
    ]


def _may(permission: Permission) -> bool:
    """Whether who is signed in has a permission."""
    return bool(current_user.is_authenticated and current_user.may(permission))


def find_asset(name: str) -> str:
    """The address of an asset, different for each content so that browsers keep it for good."""
    return url_for("console.static", filename=name, v=_digest(name))


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:10]


def add_filters(app: Flask) -> None:
    """Give templates their words and notations."""
    app.jinja_env.filters.update(
        local_time=notation.write_time,
        short_time=notation.write_short_time,
        wave_time=notation.write_wave_time,
        duration=notation.write_duration,
        age=notation.write_age,
        seconds=notation.write_seconds,
        percent=notation.write_percent,
        percent_whole=notation.write_percent_whole,
        count=notation.write_count,
        size=notation.write_size,
        figure=notation.write_figure,
        limit=notation.write_limit,
        sector=words.name_sector,
        priority_word=words.name_priority,
        level=partial(words.find_word, words.LEVELS),
        clock_word=partial(words.find_word, words.CLOCKS),
        lane_word=partial(words.find_word, words.LANES),
        loss_word=partial(words.find_word, words.LOSSES),
        mode_word=partial(words.find_word, words.MODES),
        change_kind=partial(words.find_word, words.CHANGE_KINDS),
        drift_word=partial(words.find_word, words.DRIFTS),
        trial_word=partial(words.find_word, words.TRIALS),
        command_word=partial(words.find_word, words.COMMANDS),
        diagnosis_word=partial(words.find_word, words.DIAGNOSES),
        command_state_word=partial(words.find_word, words.COMMAND_STATES),
        output_word=partial(words.find_word, words.OUTPUTS),
        row_id=tagview.name_row,
        tab_word=partial(words.find_word, words.TABS),
        alarm_state=partial(words.find_word, words.ALARM_STATES),
        kind_word=partial(words.find_word, words.KINDS),
        action_word=partial(words.find_word, words.ACTIONS),
        where_word=partial(words.find_word, words.WHERE),
        wait_word=partial(words.find_word, words.WAITS),
        state_word=partial(words.find_word, words.STATES),
        outcome_word=partial(words.find_word, words.OUTCOMES),
        message_word=partial(words.find_word, words.MESSAGES),
        step_word=lambda step: words.find_word(words.STEPS, step.split("-", 1)[0]),
        rollout_word=partial(words.find_word, words.ROLLOUT_STATES),
        standing_word=partial(words.find_word, words.STANDINGS),
        update_word=partial(words.find_word, words.UPDATE_STATES),
        update_step=partial(words.find_word, words.UPDATE_STEPS),
        obstacle_word=partial(words.find_word, words.OBSTACLES),
        quake_word=partial(words.find_word, words.QUAKE_STATES),
        report_word=partial(words.find_word, words.REPORT_STATES),
        doubt_word=partial(words.find_word, words.DOUBTS),
        release_kind=partial(words.find_word, words.RELEASE_KINDS),
        short_title=tagview.shorten_title,
        tag_title=tagview.name_tag,
        chain_state=partial(words.find_word, words.CHAIN_STATES),
        chain_kind=partial(words.find_word, words.CHAIN_KINDS),
        verdict_word=partial(words.find_word, words.VERDICTS),
        kind=tagview.name_kind,
        alarm_link=tagview.link_alarm,
        row_view=tagview.view_row,
        alarm_bar=tagview.draw_alarm,
        alarm_value=tagview.show_alarm_value,
        alarm_text=tagview.describe_alarm,
        alarm_trend=tagview.draw_alarm_trend,
    )
