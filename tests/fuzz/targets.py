"""What is fuzzed: every driver, on the settings of each of its cases and on each of its framings.

A driver's frames are told by ``tests/fuzz/wires/<kind>.py``: ``WIRE``, or ``BY_SCHEME`` where they differ by the scheme
of the url, and then ``ALSO_OVER`` with urls over which the octets of a capture may come too.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

import msgspec

from drivers.base import kinds
from tests.drivers.cases import Case, load_all
from tests.fuzz.wires.base import Wire


def _module(kind: str) -> ModuleType:
    return import_module(f"tests.fuzz.wires.{kind}")


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def target_of(case: Case) -> str:
    """Name what is fuzzed: the driver, and the scheme where the frames differ by it."""
    return f"{case.kind}:{_scheme(case.settings['url'])}" if hasattr(_module(case.kind), "BY_SCHEME") else case.kind


def wire_of(case: Case) -> Wire:
    """Find what judges and what mends a case's wire. Raises ModuleNotFoundError or KeyError if there is nothing yet."""
    module = _module(case.kind)
    wire: Wire = module.BY_SCHEME[_scheme(case.settings["url"])] if hasattr(module, "BY_SCHEME") else module.WIRE
    return wire


@cache
def all_cases() -> tuple[Case, ...]:
    """The cases that give scans, on each line that they can come over."""
    cases = [case for case in load_all() if case.scan and case.kind in kinds()]
    return (*cases, *(other for case in cases for other in _over_others(case)))


def _over_others(case: Case) -> list[Case]:
    urls = getattr(_module(case.kind), "ALSO_OVER", {}).get(_scheme(case.settings["url"]), ())
    return [
        msgspec.structs.replace(case, name=f"{case.name}-{_scheme(url)}", settings=case.settings | {"url": url})
        for url in urls
    ]


def cases_of(kind: str) -> list[Case]:
    """The cases of one driver."""
    return [case for case in all_cases() if case.kind == kind]
