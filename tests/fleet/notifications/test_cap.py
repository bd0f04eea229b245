"""Alerts against the schema of the standard itself (OASIS, CAP-v1.2.xsd)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import xmlschema

from fleet.notifications import cap
from fleet.notifications.message import TRIAL, Notice, compose
from fleet.notifications.rules import Contact
from tests.fleet.notifications.test_decide import ALARM

SCHEMA = xmlschema.XMLSchema(Path(__file__).parents[2] / "cases" / "cap" / "CAP-v1.2.xsd")
BUREAU = Contact(name="bureau", kind="cap", url="https://host/", sender="fengsui@yufu.example")
MADE_NS = 1_790_000_000_000_000_000


def alert(step: str = "raised", earlier: tuple[str, ...] = (), contact: Contact = BUREAU, **changes: Any) -> Any:
    notice = Notice(step, msgspec.structs.replace(ALARM, **changes))
    text = cap.write_alert(contact, compose("k-1", MADE_NS, [notice]), earlier).decode()
    SCHEMA.validate(text)
    return SCHEMA.to_dict(text)


def test_an_alert_is_valid_and_says_what_is_measured() -> None:
    found = alert(lat=29.6, lon=106.7)
    assert found["identifier"] == "fengsui-k-1"
    assert (found["msgType"], found["status"], found["scope"]) == ("Alert", "Actual", "Private")
    assert found["sent"] == "2026-09-21T22:13:20+08:00"
    (info,) = found["info"]
    assert info["headline"] == "鱼复化工 1 号罐液位 高高 92.5 % (限值 90 %)"
    assert info["area"][0]["circle"] == ["29.600000,106.700000 0"]


@pytest.mark.parametrize(
    ("priority", "severity", "colour"),
    [(1, "Extreme", "red"), (2, "Severe", "orange"), (3, "Moderate", "yellow"), (4, "Minor", "blue")],
)
def test_a_severity_for_each_priority(priority: int, severity: str, colour: str) -> None:
    (info,) = alert(priority=priority)["info"]
    assert info["severity"] == severity
    assert {"valueName": "colour", "value": colour} in info["parameter"]


def test_an_update_and_a_cancel_refer_to_what_went_before() -> None:
    earlier = (cap.refer(BUREAU.sender, "k-0", MADE_NS),)
    update = alert("escalation-1", earlier)
    assert update["msgType"] == "Update"
    assert update["references"] == "fengsui@yufu.example,fengsui-k-0,2026-09-21T22:13:20+08:00"
    cancel = alert("returned", earlier)
    assert cancel["msgType"] == "Cancel"
    assert (cancel["info"][0]["urgency"], cancel["info"][0]["responseType"]) == ("Past", ["AllClear"])


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None, "limit": None, "unit": "", "raised_ns": None},
        {"place": "<&>\"'\x00\x08\ud7ff", "title": "\x1b]\x00"},
        {"sector": "unheard of", "level": ""},
    ],
)
def test_odd_texts_stay_valid(changes: dict[str, Any]) -> None:
    assert alert(**changes)["msgType"] == "Alert"


def test_a_trial_is_a_test_and_english_is_spoken() -> None:
    found = alert(TRIAL, contact=msgspec.structs.replace(BUREAU, language="en"))
    assert found["status"] == "Test"
    assert found["info"][0]["language"] == "en-US"


def test_the_schema_refuses_another_order() -> None:
    text = cap.write_alert(BUREAU, compose("k", MADE_NS, [Notice("raised", ALARM)]), ()).decode()
    swapped = text.replace(
        "<scope>Private</scope><addresses>bureau</addresses>", "<addresses>bureau</addresses><scope>Private</scope>"
    )
    assert swapped != text
    assert not SCHEMA.is_valid(swapped)
