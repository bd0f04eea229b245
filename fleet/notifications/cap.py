"""A notice as an alert of the Common Alerting Protocol 1.2 (OASIS, also ITU-T X.1303 bis). Pure.

The order of the elements is that of the standard's schema. A severity belongs to a colour of Chinese warnings:
red, orange, yellow and blue are Extreme, Severe, Moderate and Minor.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from fleet.notifications.decide import RETURNED
from fleet.notifications.message import TRIAL, Message, Notice, write_step, write_time, write_what
from fleet.notifications.rules import Contact

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
SEVERITY = {1: "Extreme", 2: "Severe", 3: "Moderate", 4: "Minor"}
COLOUR = {1: "red", 2: "orange", 3: "yellow", 4: "blue"}
URGENCY = {1: "Immediate", 2: "Immediate", 3: "Expected", 4: "Future"}
CATEGORY = {
    "chemical": "CBRNE",
    "fire": "Fire",
    "forest": "Fire",
    "weather": "Met",
    "flood": "Met",
    "waterlogging": "Met",
    "earthquake": "Geo",
    "geology": "Geo",
    "lifeline": "Infra",
    "pipeline": "Infra",
}
OTHER_CATEGORY = "Safety"
LANGUAGE = {"zh": "zh-CN", "en": "en-US"}


def identify(message_key: str) -> str:
    """The identifier of the alert that a message is."""
    return f"fengsui-{message_key}"


def refer(sender: str, message_key: str, made_ns: int) -> str:
    """Name an earlier alert, as ``references`` wants it."""
    return f"{sender},{identify(message_key)},{write_time(made_ns)}"


def write_alert(contact: Contact, message: Message, earlier: Sequence[str]) -> bytes:
    """Write the alert of a message that holds one notice; ``earlier`` are the alerts that it updates or cancels."""
    (notice,) = message.notices
    root = Xml.Element("alert", xmlns=NAMESPACE)
    kind = "Cancel" if notice.step == RETURNED else "Update" if earlier else "Alert"
    _add(
        root,
        ("identifier", identify(message.key)),
        ("sender", contact.sender),
        ("sent", write_time(message.made_ns)),
        ("status", "Test" if notice.step == TRIAL else contact.status),
        ("msgType", kind),
        ("source", notice.alarm.gateway or "fleet"),
        ("scope", "Private"),
        ("addresses", contact.name),
    )
    if earlier:
        _add(root, ("references", " ".join(earlier)))
    _add_info(root, contact, notice)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _add_info(root: Xml.Element, contact: Contact, notice: Notice) -> None:
    alarm, language = notice.alarm, contact.language
    info = Xml.SubElement(root, "info")
    what, step = write_what(alarm, language), write_step(notice.step, language)
    _add(
        info,
        ("language", LANGUAGE[language]),
        ("category", CATEGORY.get(alarm.sector, OTHER_CATEGORY)),
        ("event", f"{alarm.title} {alarm.level}".strip()),
        ("responseType", "AllClear" if notice.step == RETURNED else "Assess"),
        ("urgency", "Past" if notice.step == RETURNED else URGENCY[alarm.priority]),
        ("severity", SEVERITY[alarm.priority]),
        ("certainty", "Observed"),
    )
    if alarm.raised_ns is not None:
        _add(info, ("onset", write_time(alarm.raised_ns)))
    _add(info, ("headline", f"{alarm.place} {what}"), ("description", f"{step}: {alarm.gateway} {alarm.name}, {what}"))
    parameters = [("alarm", alarm.name), ("colour", COLOUR[alarm.priority]), ("priority", str(alarm.priority))]
    if alarm.intensity is not None:
        parameters += [("intensity", f"{alarm.intensity:.1f}"), ("stations", str(alarm.stations))]
    for name, value in parameters:
        _add(Xml.SubElement(info, "parameter"), ("valueName", name), ("value", value))
    area = Xml.SubElement(info, "area")
    _add(area, ("areaDesc", alarm.place))
    if alarm.lat is not None and alarm.lon is not None:
        _add(area, ("circle", f"{alarm.lat:.6f},{alarm.lon:.6f} 0"))


def _add(parent: Xml.Element, *children: tuple[str, str]) -> None:
    for name, text in children:
        Xml.SubElement(parent, name).text = "".join(letter for letter in text if letter.isprintable())
