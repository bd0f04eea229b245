"""``fengsui-edge profile``: which instruments are known, what is known of one, and whether a profile holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivers import profile as profiles
from drivers.profile import Profile
from edge.settings import MeasuredEntry
from edge.tools.target import SHELF, load_profile, names_of
from edge.tools.terminal import add_json, note, print_json, print_table, progress

EXAMPLES = """\
  fengsui-edge profile list gas
  fengsui-edge profile show pemtech_pt495
  fengsui-edge profile test mine.toml"""

STATUS = "found, or the test passed; 1 none was found, or a test failed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    actions = parser.add_subparsers(required=True, metavar="list|show|test")
    listing = actions.add_parser("list", help="the instruments that are known")
    listing.add_argument("word", nargs="?", default="", help="only those that have it in name, maker, title or driver")
    showing = actions.add_parser("show", help="what is known of one")
    showing.add_argument("name", help="name of the profile, or its file")
    testing = actions.add_parser("test", help="explain every mistake in a profile, and run it on captured bytes")
    testing.add_argument("file", type=Path, help="the profile's file")
    testing.add_argument("--cases", type=Path, metavar="DIR", help="captured bytes (default: the folder beside FILE)")
    for action, do in ((listing, _list), (showing, _show), (testing, _test)):
        add_json(action)
        action.set_defaults(action=do)


def run(options: argparse.Namespace) -> int:
    """Do what is asked. Returns 1 if a profile fails its test or none is found."""
    status: int = options.action(options)
    return status


def _list(options: argparse.Namespace) -> int:
    known = [profiles.load(name, SHELF) for name in profiles.names(SHELF)]
    found = [profile for profile in known if options.word.lower() in _words(profile)]
    if options.json:
        print_json([_summary(profile) for profile in found])
    elif found:
        rows = [(each.name, each.kind, each.category, f"{each.vendor} {each.model}", each.title) for each in found]
        print_table(("profile", "driver", "for", "instrument", "title"), rows)
    else:
        note(f"No profile has '{options.word}' in it. All of them: fengsui-edge profile list")
    return 0 if found else 1


def _words(profile: Profile) -> str:
    parts = (profile.name, profile.vendor, profile.model, profile.title, profile.title_en, profile.kind)
    return " ".join((*parts, profile.category)).lower()


def _summary(profile: Profile) -> dict[str, str]:
    keys = ("name", "vendor", "model", "title", "title_en", "category", "kind", "source", "confirmed")
    return {key: getattr(profile, key) for key in keys}


def _show(options: argparse.Namespace) -> int:
    profile = load_profile(options.name)
    if options.json:
        print_json(profile)
        return 0
    print(f"{profile.name}: {profile.vendor} {profile.model}, {profile.title}")
    print(f"driver {profile.kind}" + "".join(f", {key} {value}" for key, value in profile.device.items()))
    print(f"source: {profile.source}")
    print(f"confirmed: {profile.confirmed or 'on no instrument yet: compare a reading with the display'}\n")
    print_table(("tag", "unit", "range", "where", "title"), list(_rows(profile)))
    return 0


def _rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    own = {*names_of(MeasuredEntry), "text"}
    for group in profile.group:
        for tag in group["tag"]:
            where = " ".join(f"{key} {_short(value)}" for key, value in tag.items() if key not in own)
            yield f"{group['name']}.{tag['name']}", tag.get("unit", ""), _range(tag), where, tag.get("title", "")
    for tag in profile.derived:
        where = f"{tag.get('formula')} of {', '.join(tag.get('of', ()))}"
        yield str(tag["name"]), tag.get("unit", ""), _range(tag), where, tag.get("title", "")


def _range(tag: Mapping[str, Any]) -> str:
    return f"{tag['low']:g} to {tag['high']:g}" if {"low", "high"} <= tag.keys() else ""


def _short(value: Any) -> str:
    return "..." if isinstance(value, dict | list) else str(value)


def _test(options: argparse.Namespace) -> int:
    from edge.profile_report import format_report  # the agent needs none of this
    from edge.profile_test import run_profile_test

    with progress(1, f"testing {options.file.name}"):
        report = run_profile_test(options.file, options.cases)
    if options.json:
        print_json({"ok": report.ok, "report": report})
    else:
        print(format_report(report))
    return 0 if report.ok else 1
