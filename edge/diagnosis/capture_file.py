"""The file of a recorded line: all that passed, and what of it replays, as `fengsui-edge capture` writes it.

    line.txt                      all that passed, in its order, as `drivers.replay.parse_capture` reads it
    <kind>/<bus>/                 the longest run of readings that none failed in, as a case
    <kind>/<bus>-<group>-fault/   the first reading of a group that failed in such a way

A case holds whole readings only, so that a driver of its own asks the same and gets the same values. Where a driver
numbers its requests, a case has the numbers of a line just opened; ``line.txt`` has those that were sent.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from drivers.base import Group, Streaming
from drivers.replay import parse_capture, put_steps
from edge.case_check import columns, replay
from edge.case_file import Case, files_of, folder_of
from edge.diagnosis.capture import Capture, Stretch
from edge.diagnosis.secrets import HIDDEN, hide_in_document
from edge.settings import Bus

SCANS_MOST = (200, 20, 0)
"""Of a case: what a test can replay in a moment; fewer where the scans are so wide that the file would be too large."""
FAULTS_MOST = 8
CHECK_MOST_S = 3.0
"""So long the gateway tries whether a case replays."""
UNLIKE = "It does not replay to the same values."


def pack_capture(bus: Bus, capture: Capture, about: str, octets_most: int) -> bytes:
    """Make the archive, of ``octets_most`` at most where that can be. Takes a while: call it in a thread of its own."""
    packed = b""
    for most in SCANS_MOST:
        packed = _pack(capture, about, [choose_case(alike) for alike in find_cases(bus, capture, most)])
        if len(packed) <= octets_most:
            break
    return packed


def _pack(capture: Capture, about: str, cases: Sequence[Case]) -> bytes:
    ended = f"# ended early: {capture.why}\n" if capture.why else ""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("line.txt", f"# {about}\n{''.join(capture.text)}{ended}")
        for case in cases:
            for name, text in files_of(case, _show).items():
                file.writestr(f"{folder_of(case).as_posix()}/{name}", text)
    return archive.getvalue()


def _show(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without secrets: they are left out, for a wrong one would keep a case from replaying."""
    return {key: value for key, value in hide_in_document(settings).items() if value != HIDDEN}


def choose_case(alike: Sequence[Case]) -> Case:
    """Take the first case that replays; if none does, the first, which then says so."""
    found = [case for case in map(check_case, alike) if case.replays][:1]
    return found[0] if found else msgspec.structs.replace(alike[0], detail=f"{alike[0].detail} {UNLIKE}".strip())


def check_case(case: Case) -> Case:
    """Replay a case in an event loop of its own, and note whether the same comes of it.

    What instruments say by themselves was recorded from the middle of a frame: the first scans of a case may have come
    of octets from before it, and are none of its own.
    """
    came = asyncio.run(replay(case, CHECK_MOST_S))
    scans, error = case.scans, came.error
    if _is_heard(case.bus) and came.scans and len(came.scans) < len(scans):
        scans, error = scans[-len(came.scans) :], ""  # what it ended in is that no further one came
    same = columns(came.scans) == columns(scans) and error == case.error
    return msgspec.structs.replace(case, scans=scans if same else case.scans, faults=came.faults, replays=same)


def _is_heard(bus: Bus) -> bool:
    return hasattr(bus.kind.build, Streaming.scans.__name__)


def find_cases(bus: Bus, capture: Capture, scans_most: int) -> list[Sequence[Case]]:
    """Cut the cases out of what was recorded, each in one or more ways, the best first. Pure."""
    if not scans_most:
        return []
    found = _heard(bus, capture, scans_most) if _is_heard(bus) else _polled(bus, capture, scans_most)
    alike = list(found)
    return [*([alike] if alike else []), *([case] for case in _faults(bus, capture))]


def _heard(bus: Bus, capture: Capture, scans_most: int) -> Iterator[Case]:
    """The longest stretch, whole, or without its first scan: what answers a frame that began before, no other driver
    would send."""
    longest = max(capture.stretches, key=lambda stretch: len(stretch.scans), default=None)
    if longest is None or not longest.scans:
        return
    scans = longest.scans[:scans_most]
    groups = [one.group for one in bus.groups]
    for since in (longest.since, _after_answers(capture.text, scans[0][0])):
        own = [scan for at, scan in scans if at > since]
        if own:
            text = "".join(capture.text[since : scans[-1][0]])
            yield Case(name=bus.name, bus=bus, groups=groups, line=text, scans=own)


def _after_answers(text: Sequence[str], at: int) -> int:
    while at < len(text) and any(step.sent for step in parse_capture(text[at])):
        at += 1
    return at


def _polled(bus: Bus, capture: Capture, scans_most: int) -> Iterator[Case]:
    run = max(_runs(capture.stretches), key=len, default=[])[:scans_most]
    if run:
        asked = {stretch.group for stretch in run}
        groups = [one.group for one in bus.groups if one.group.name in asked]
        scans = [scan for stretch in run for _, scan in stretch.scans]
        yield Case(name=bus.name, bus=bus, groups=groups, line=_cut(bus, capture, run), scans=scans)


def _runs(stretches: Sequence[Stretch]) -> list[list[Stretch]]:
    """Readings without one that failed between them: after a fault a driver may ask otherwise."""
    runs: list[list[Stretch]] = [[]]
    for stretch in stretches:
        if stretch.scans:
            runs[-1].append(stretch)
        else:
            runs.append([])
    return runs


def _faults(bus: Bus, capture: Capture) -> Iterator[Case]:
    groups: dict[str, Group] = {one.group.name: one.group for one in bus.groups}
    failed: dict[tuple[str, str], Stretch] = {}
    for stretch in capture.stretches:
        if stretch.error and stretch.group in groups:
            failed.setdefault((stretch.group, stretch.error), stretch)
    for (group, error), stretch in list(failed.items())[:FAULTS_MOST]:
        yield Case(
            name=f"{bus.name}-{group}-{error}-fault".replace("Error", ""),
            bus=bus,
            groups=[groups[group]],
            line=_cut(bus, capture, [stretch]),
            error=error,
            detail=stretch.detail,
        )


def _cut(bus: Bus, capture: Capture, stretches: Sequence[Stretch]) -> str:
    """The text of some readings, numbered as by a driver that has just opened the line."""
    text = "".join(piece for stretch in stretches for piece in capture.text[stretch.since : stretch.until])
    if bus.kind.renumber is None:
        return text
    return put_steps(text, bus.kind.renumber(bus.settings, parse_capture(text)))
