"""The checklist of commissioning in words: what each line is called, and for each failure what to do about it."""

from __future__ import annotations

import msgspec
from flask_babel import gettext, lazy_gettext, lazy_pgettext, ngettext
from flask_babel.speaklater import LazyString

from fleet.commissioning.steps import Step
from fleet.console.words import CLOCKS, find_word

KINDS = {
    "ask": lazy_gettext("Gateway asks to get in"),
    "clock": lazy_gettext("Clock"),
    "dns": lazy_gettext("Name of the fleet (DNS)"),
    "tls": lazy_gettext("Secure connection (TLS)"),
    "certificate": lazy_gettext("Certificate"),
    "mqtt": lazy_gettext("Message channel (MQTT)"),
    "configuration": lazy_pgettext("checklist", "Configuration"),
    "bus": lazy_gettext("Bus %(name)s"),
    "device": lazy_gettext("Device %(name)s"),
    "record": lazy_gettext("First record at the fleet"),
    "platform": lazy_gettext("Accepted by %(name)s"),
    "trial": lazy_gettext("Alarm test: %(name)s"),
}
WAITING, DONE, UNTESTED = (
    lazy_pgettext("checklist", "waiting"),
    lazy_pgettext("checklist", "done"),
    lazy_pgettext("checklist", "not tested yet"),
)
FAULTS: dict[str, tuple[LazyString, LazyString]] = {
    "door-silent": (
        lazy_gettext("The gateway has not asked yet."),
        lazy_gettext("Check its power, its network cable or SIM card, and the address of the fleet in enrol.toml."),
    ),
    "door-unassigned": (
        lazy_gettext("Nobody has said which gateway this is."),
        lazy_gettext("Scan its code again and submit."),
    ),
    "door-in-use": (
        lazy_gettext("Another machine is this gateway already."),
        lazy_gettext("If it was replaced, ask an operator to approve it; if not, scan again and give another name."),
    ),
    "door-lapsed": (
        lazy_gettext("Its certificate ended too long ago."),
        lazy_gettext("Ask an operator to approve it."),
    ),
    "door-claim-used": (
        lazy_gettext("Another machine came first with this code."),
        lazy_gettext("Tell an operator: the label was copied, or the gateway's storage was replaced."),
    ),
    "door-claim-expired": (
        lazy_gettext("The code has expired."),
        lazy_gettext("Ask an operator for a new label."),
    ),
    "door-key-revoked": (
        lazy_gettext("The gateway's key was revoked."),
        lazy_gettext("Remove its folder identity, restart it, and scan the new code."),
    ),
    "door-already-replaced": (
        lazy_gettext("Another gateway took the place that this code is for."),
        lazy_gettext("Ask an operator for a new label."),
    ),
    "door-refused": (
        lazy_gettext("An operator keeps this gateway out."),
        lazy_gettext("Ask an operator."),
    ),
    "clock-unset": (
        lazy_gettext("The gateway does not know the time."),
        lazy_gettext("Check its battery, and that it reaches a time server (NTP, port 123)."),
    ),
    "clock-told": (
        lazy_gettext("Only the fleet tells it the time."),
        lazy_gettext("Give it a time server (NTP, port 123), or a battery for its clock."),
    ),
    "mqtt-silent": (
        lazy_gettext("It has its certificate and does not connect."),
        lazy_gettext("Does the network here let port 8883 through? Ask whoever runs the firewall."),
    ),
    "configuration-refused": (
        lazy_gettext("The gateway refuses its configuration."),
        lazy_gettext("Correct what it names, or choose another template."),
    ),
    "configuration-silent": (
        lazy_gettext("Its configuration has not arrived yet."),
        lazy_gettext("Wait a minute; if it stays so, tell an operator."),
    ),
    "bus-closed": (
        lazy_gettext("The line cannot be opened."),
        lazy_gettext("Check address and port; on serial lines the plug, and that nothing else uses the port."),
    ),
    "device-line": (
        lazy_gettext("Its bus is down."),
        lazy_gettext("Mend the bus first."),
    ),
    "device-silent": (
        lazy_gettext("No answer."),
        lazy_gettext("Check its power, whether A and B are swapped, its address, baud rate and parity."),
    ),
    "device-garbled": (
        lazy_gettext("Its answers are garbled."),
        lazy_gettext("Check baud rate and parity, the terminating resistor, and whether two devices share an address."),
    ),
    "device-refuses": (
        lazy_gettext("It answers and refuses."),
        lazy_gettext("Compare model, registers and access rights with its manual."),
    ),
    "device-sensor": (
        lazy_gettext("It reports a fault of its sensor."),
        lazy_gettext("Check the sensor and its cable."),
    ),
    "device-range": (
        lazy_gettext("Its value is out of range."),
        lazy_gettext("Check range and scaling in the template, and the sensor."),
    ),
    "device-configuration": (
        lazy_gettext("Its configuration does not fit."),
        lazy_gettext("Check the variables of the template."),
    ),
    "output-fault": (
        lazy_gettext("The output does not switch."),
        lazy_gettext("Check its wiring and power."),
    ),
    "record-missing": (
        lazy_gettext("Connected, and no record has arrived."),
        lazy_gettext("Mend what failed above first; if nothing did, tell an operator."),
    ),
    "platform-refuses": (
        lazy_gettext("The platform does not take records."),
        lazy_gettext("Nothing to do on site: the fleet tries on. Tell an operator."),
    ),
    "platform-behind": (
        lazy_gettext("The platform has not taken it yet."),
        lazy_gettext("Nothing to do on site: the fleet sends it as soon as it can."),
    ),
    "trial-refused": (
        lazy_gettext("The gateway does not test it now."),
        lazy_gettext("A real alarm, a turned maintenance key or an interlock goes first. Test again afterwards."),
    ),
    "trial-failed": (
        lazy_gettext("The test could not be carried out."),
        lazy_gettext("Test again; check wiring and power."),
    ),
    "trial-expired": (
        lazy_gettext("The gateway did not answer in time."),
        lazy_gettext("Check its connection, then test again."),
    ),
    "trial-unseen": (
        lazy_gettext("Nothing was seen or heard."),
        lazy_gettext("Check wiring, fuse and power of the siren or beacon, then test again."),
    ),
}
"""{name of a failure: (what is wrong, what to do)}. The names are in docs/operate/commissioning.md."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A step in words. ``value`` is what was measured, or how it stands."""

    step: Step
    title: str
    value: str
    wrong: str = ""
    hint: str = ""


def describe(step: Step) -> Line:
    """Put a step into words."""
    title = str(KINDS[step.kind]) if step.kind in KINDS else step.kind
    if "%(name)s" in title:
        title = title % {"name": step.title or step.subject}
    wrong, hint = FAULTS.get(step.fault, (step.fault, ""))
    detail = "" if step.kind == "clock" else step.detail
    if step.state == "failed":
        return Line(step=step, title=title, value="", wrong=_join(str(wrong), detail), hint=str(hint))
    return Line(step=step, title=title, value=_value(step))


def _join(wrong: str, detail: str) -> str:
    return f"{wrong} {detail}".strip()


def _value(step: Step) -> str:
    if step.state == "waiting":
        return str(UNTESTED if step.kind == "trial" else WAITING)
    match step.kind:
        case "clock":
            return find_word(CLOCKS, step.detail)
        case "certificate":
            days = int(step.detail) if step.detail.isdecimal() else 0
            return str(ngettext("%(num)s day", "%(num)s days", days))
        case "configuration":
            return str(gettext("version %(n)s", n=step.detail))
        case _:
            return step.detail or str(DONE)
