"""The laptop's commands at a gateway: ``fengsui-provision scan|commission``."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from provisioning.errors import RequestError
from provisioning.keys import read_file
from provisioning.kit.gateway import BAUD, LOOK_S, Console, Gateway, Network, Tell, Way
from provisioning.kit.texts import Texts

WATCH_S = 120.0
LASTS_S = 3.0
LINE_OCTETS = 48 * 1024
"""So much of checks or values is in one line of the book: the fleet takes 64 KiB."""
FOUND_MOST = 40
KEPT = ("url", "asked", "complete", "heard")
MARKS = {"done": "✓", "failed": "✗", "waiting": "…"}


def add_way(parser: argparse.ArgumentParser) -> None:
    """Say how a gateway is reached."""
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--at", metavar="URL", help="its own page, https://10.0.0.5:8080")
    way.add_argument("--serial", metavar="DEVICE", help="a cable to its console, /dev/ttyUSB0")
    parser.add_argument("--console-baud", type=int, default=BAUD, metavar="N", help=f"of that cable, else {BAUD}")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="the page's certificate, if it vouches for itself")
    parser.add_argument("--plain", action="store_true", help="http is enough: the cable is my own")
    parser.add_argument("--code-file", type=Path, metavar="FILE", help="the site code; else it is typed")


def add_line(parser: argparse.ArgumentParser) -> None:
    """Say what is scanned."""
    parser.add_argument("--line", default="", metavar="URL", help="rtu:///dev/ttyUSB0 or tcp://10.0.0.5 at the gateway")
    parser.add_argument("--units", default="", metavar="1-32", help="unit ids to ask")
    parser.add_argument("--baud", default="", metavar="9600,4800", help="baud rates to try")
    parser.add_argument("--parity", default="", metavar="N,E", help="parities to try")


@contextmanager
def signed_in(options: argparse.Namespace) -> Iterator[Gateway]:
    """Sign in at the gateway that the options name, for as long as this lasts."""
    way: Way
    if options.serial:
        way = Console(options.serial, options.console_baud)
    else:
        way = Network(options.at, options.ca_file, may_be_plain=options.plain)
    try:
        gateway = Gateway(way, _code(options), options.by)
        gateway.sign_in()
        yield gateway
    finally:
        way.close()


def _code(options: argparse.Namespace) -> str:
    if options.code_file is not None:
        return read_file(options.code_file).decode("utf-8", "replace").strip()
    return getpass.getpass(Texts(options.language)("site-code"))


def scan(gateway: Gateway, options: argparse.Namespace, tell: Tell) -> tuple[dict[str, Any], str]:
    """Scan a line, or list the ports if none is named. Returns what was found, and how it is said."""
    texts = Texts(options.language)
    if options.line:
        found = gateway.scan(options.line, options.units, options.baud, options.parity, tell)
        return found, _say_found(texts, found)
    ports, standing = gateway.ports(), gateway.look()
    lines = [texts("port", path=port["path"], what=port["what"], held=port["held_by"] or "-") for port in ports]
    lines += [texts("line-used", line=line) for line in standing["lines"]]
    return {"ports": ports, "lines": standing["lines"]}, "\n".join(lines) or texts("port-none")


def shorten(found: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a scan what a report needs: the fleet takes 64 KiB of a line of the book."""
    told = [{**one, "matches": one.get("matches", [])[:1]} for one in found.get("found", [])[:FOUND_MOST]]
    return {name: found[name] for name in KEPT if name in found} | {"found": told}


def _say_found(texts: Texts, found: Mapping[str, Any]) -> str:
    rows = []
    for one in found.get("found", []):
        where = " ".join(f"{key} {value}" for key, value in one["device"].items())
        looks = ", ".join(f"{match['vendor']} {match['model']} ({match['profile']})" for match in one["matches"][:3])
        rows.append(texts("found", line=one["line"], where=where, looks=looks or "-"))
    if found.get("heard"):
        rows.append(texts("heard", heard=found["heard"]))
    return "\n".join(rows) or texts("found-none", url=found.get("url", ""))


class Commission(msgspec.Struct, kw_only=True):
    """What commissioning came to.

    ``outputs`` are ``seen``, ``not-seen``, ``not-tested``, or ``refused`` by the gateway: why is in ``refusals``.
    """

    checks: list[dict[str, Any]] = []
    values: dict[str, list[dict[str, Any]]] = {}
    outputs: dict[str, str] = {}
    refusals: dict[str, str] = {}
    is_complete: bool = False


def to_lines(made: Commission) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the lines of the book that tell what was seen, kind and detail, each small enough for the fleet."""
    for rows in _split(made.checks):
        yield "checklist", {"checks": rows}
    for device, values in made.values.items():
        for rows in _split(values):
            yield "reading", {"device": device, "values": rows}


def _split(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part, octets = list[dict[str, Any]](), 0
    for row in rows:
        size = len(msgspec.json.encode(row)) + 1
        if part and octets + size > LINE_OCTETS:
            yield part
            part, octets = [], 0
        part, octets = [*part, row], octets + size
    if part:
        yield part


def watch(gateway: Gateway, watch_s: float, tell: Tell) -> Commission:
    """Look until every line and instrument has shown itself, or the time is over."""
    until = time.monotonic() + watch_s
    while True:
        standing = gateway.look()
        checks = [check for check in standing["checks"] if check["kind"] in {"bus", "device"}]
        done = sum(check["state"] == "done" for check in checks)
        tell(done, len(checks))
        if checks and done == len(checks):
            break
        if time.monotonic() > until:
            break
        time.sleep(LOOK_S)
    values = {device["name"]: gateway.values(device["name"]) for device in standing["devices"]}
    is_complete = bool(checks) and done == len(checks)
    return Commission(checks=standing["checks"], values=values, is_complete=is_complete)


def try_outputs(gateway: Gateway, made: Commission, ask: Callable[[str], bool], texts: Texts) -> None:
    """Try each output that the technician agrees to, and note whether it was seen to act."""
    for check in made.checks:
        if check["kind"] != "output":
            continue
        output = check["subject"]
        if not ask(texts("output-ask", output=check["title"] or output, seconds=LASTS_S)):
            made.outputs[output] = "not-tested"
            continue
        try:
            gateway.try_output(output, LASTS_S)
        except RequestError as error:
            made.outputs[output], made.refusals[output] = "refused", str(error)
            continue
        is_seen = ask(texts("output-acted", output=check["title"] or output))
        gateway.note_seen(output, is_seen=is_seen)
        made.outputs[output] = "seen" if is_seen else "not-seen"


def ask_yes(question: str) -> bool:
    """Ask at the terminal; where there is none, the answer is no."""
    if not sys.stdin.isatty():
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes", "是", "j"}
    except EOFError:
        return False


def say(texts: Texts, gateway: str, made: Commission) -> str:
    """Say what commissioning came to."""
    rows = [
        f"{MARKS[check['state']]} {texts.find('check-' + check['kind'], check['kind'])}"
        f" {check['title'] or check['subject']} {check['fault'] or check['detail']}".rstrip()
        for check in made.checks
    ]
    rows += [
        texts("output-" + state, output=name, reason=made.refusals.get(name, ""))
        for name, state in made.outputs.items()
    ]
    rows.append(texts("commissioned" if made.is_complete else "commission-open", gateway=gateway))
    return "\n".join(rows)
