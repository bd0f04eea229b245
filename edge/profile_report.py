"""What the test of a profile found, and how that reads in a terminal."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wire.sample import Value

NONE = "none"
"""Stands for no value, in a case and on the screen: TOML has no null."""


class Comparison(msgspec.Struct, frozen=True):
    """One value that was read, and what the case expects."""

    tag: str
    title: str
    unit: str
    value: Value
    quality: str
    expected: Value
    expected_quality: str
    same: bool


class CaseReport(msgspec.Struct, frozen=True):
    """How one case went. ``fault`` says why it ended early, if it did."""

    name: str
    about: str
    comparisons: tuple[Comparison, ...] = ()
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether every value was as expected."""
        return not self.fault and all(comparison.same for comparison in self.comparisons)


class ProfileReport(msgspec.Struct, frozen=True):
    """What was found. ``mistakes`` are sentences with file, line, place and what to write instead."""

    file: str
    name: str
    mistakes: tuple[str, ...] = ()
    cases: tuple[CaseReport, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the profile can be used."""
        return not self.mistakes and all(case.ok for case in self.cases)


def format_report(report: ProfileReport) -> str:
    """Show a report in a terminal."""
    if report.mistakes:
        count = len(report.mistakes)
        return "\n".join((*report.mistakes, f"{count} mistake{'s' if count > 1 else ''}. No case was run."))
    words = [f"{report.file}: {'fine' if report.ok else 'a case fails'}."]
    if not report.cases:
        words.append(f"No case was run: put one into {Path(report.file).with_suffix('')}/<case>/.")
    for case in report.cases:
        words.append(f"{'ok  ' if case.ok else 'FAIL'} {case.name}: {case.about}")
        words += [f"       {_format_comparison(comparison)}" for comparison in case.comparisons]
        words += [f"       {case.fault}"] if case.fault else []
    return "\n".join(words)


def _format_comparison(found: Comparison) -> str:
    read = f"{found.tag} = {format_value(found.value)} {found.unit}".rstrip() + f" ({found.quality})"
    expected = f"{format_value(found.expected)} ({found.expected_quality})"
    return read if found.same else f"{read}, expected {expected}"


def format_value(value: Value) -> str:
    """Show a value as an instrument's display would, or that there is none."""
    if value is None:
        return NONE
    return f"{value:g}" if isinstance(value, float) else str(value)
