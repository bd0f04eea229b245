"""Alarms in a real browser: picked, asked for, pending, and changed when the gateway's record arrives."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.commands import service as commands
from tests.browser.district import WEATHER, District
from wire.alarm import Standing
from wire.record import AlarmRecord, Lane, StandingRecord

PICTURES = Path(__file__).parents[2] / "build" / "pictures"
TAG, LEVEL = "wind.speed", "high"
NAME = f"{TAG}:{LEVEL}"
WORDS = "WIND 风速 高"


def raise_wind(district: District, change: str = "raised", standing: int = 3, occurrence: int = 0) -> int:
    now_ns = time.time_ns()
    occurrence = occurrence or now_ns
    record = AlarmRecord(
        now_ns - district.began_ns, now_ns, NAME, TAG, LEVEL, change, 3, 18.4, 17.0, standing=standing,
        occurrence=occurrence,
    )  # fmt: skip
    district.send(WEATHER, Lane.ALARMS, [record])
    district.services.live.note_alarms()
    return occurrence


def acknowledge_on_gateway(district: District, occurrence: int) -> None:
    with district.services.database.reading() as session:
        command = commands.list_newest(session, WEATHER, 1)[0]
    now_ns = time.time_ns()
    record = StandingRecord(
        now_ns - district.began_ns, now_ns, NAME, TAG, LEVEL, "acknowledged", 3, int(Standing.ACTIVE),
        occurrence=occurrence, by=command.author, where="console", command=command.id,
    )  # fmt: skip
    district.send(WEATHER, Lane.ALARMS, [record])
    district.services.live.note_alarms()


def test_acknowledged_is_pending_until_the_gateways_record_arrives(desk: Page, district: District) -> None:
    desk.goto("/alarms")
    expect(desk.locator("#pulse")).to_have_attribute("data-state", "live")
    occurrence = raise_wind(district)
    row = desk.locator("table.standing tbody tr", has_text=WORDS)
    expect(row).to_contain_text("未确认", timeout=8000)
    # By the keyboard alone: pick the row, then acknowledge what is picked.
    row.get_by_role("checkbox").focus()
    desk.keyboard.press("Space")
    desk.get_by_role("button", name="确认所选").focus()
    desk.keyboard.press("Enter")
    expect(row).to_contain_text("待网关确认")
    desk.evaluate("window.untouched = true")
    acknowledge_on_gateway(district, occurrence)
    expect(row).to_contain_text("已确认", timeout=8000)
    expect(row).not_to_contain_text("待网关确认")
    assert desk.evaluate("window.untouched") is True
    raise_wind(district, "cleared", 0, occurrence)
    expect(row).to_have_count(0, timeout=8000)


def test_what_is_picked_stays_picked_when_rows_come_in_above(desk: Page, district: District) -> None:
    desk.goto("/alarms")
    expect(desk.locator("#pulse")).to_have_attribute("data-state", "live")
    last = desk.locator("table.standing tbody tr").last
    chosen = last.get_by_role("checkbox")
    value = chosen.get_attribute("value")
    chosen.check()
    occurrence = raise_wind(district)
    expect(desk.locator("table.standing tbody tr", has_text=WORDS)).to_be_visible(timeout=8000)
    picked = desk.locator('input[name="pick"]:checked')
    expect(picked).to_have_count(1)
    assert picked.get_attribute("value") == value
    raise_wind(district, "cleared", 0, occurrence)
    expect(desk.locator("table.standing tbody tr", has_text=WORDS)).to_have_count(0, timeout=8000)


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_pages_of_alarms_fit(request: pytest.FixtureRequest, size: str) -> None:
    page: Page = request.getfixturevalue(size)
    addresses = {"alarms": "/alarms", "journal": "/alarms?state=journal", "statistics": "/alarms/statistics?days=1"}
    for name, address in addresses.items():
        page.goto(address)
        expect(page.locator("section.panel").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is wider than a {size}"
        if os.environ.get("FENGSUI_PICTURES"):
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=PICTURES / f"{name}-{size}.png", full_page=True)


def test_an_alarm_of_no_gateway_names_what_it_is_about_and_is_acknowledged_at_once(
    desk: Page, district: District
) -> None:
    with district.services.database.writing() as session:
        own.raise_alarm(session, own.FLEET, own.BEHIND, "700 s", time.time_ns(), "district-platform")
        own.raise_alarm(session, own.FLEET, own.CERTIFICATE, "2026-12-01", time.time_ns(), "tls/broker.pem")
        own.raise_alarm(session, WEATHER, own.DEVICE_RATE, "12 / 60", time.time_ns(), "wxt")
    try:
        desk.goto("/alarms")
        row = desk.locator("table.standing tbody tr", has_text="district-platform 目的地滞后")
        expect(row).to_contain_text("烽燧平台")
        PICTURES.mkdir(parents=True, exist_ok=True)
        desk.screenshot(path=PICTURES / "alarms-fleet.png")
        row.get_by_role("button", name="确认").click()
        expect(row).to_contain_text("已确认")
        row.get_by_role("link").first.click()
        expect(desk).to_have_url(re.compile("/relay$"))
        desk.goto("/alarms?state=journal")
        expect(desk.locator("table.journal tbody tr", has_text="district-platform").last).to_contain_text("700 s")
        desk.screenshot(path=PICTURES / "alarms-fleet-journal.png")
        desk.goto("/")
        expect(desk.locator("body")).to_contain_text("tls/broker.pem")
        desk.goto("/alarms/statistics")
        expect(desk.locator("body")).to_contain_text("district-platform")
    finally:
        with district.services.database.writing() as session:
            for kind in (own.BEHIND, own.CERTIFICATE):
                own.settle(session, own.FLEET, kind, {}, time.time_ns())
            own.settle(session, WEATHER, own.DEVICE_RATE, {}, time.time_ns())
            for alarm in session.scalars(sa.select(Alarm).where(Alarm.tag == own.TAG)):
                alarm.standing = 0
