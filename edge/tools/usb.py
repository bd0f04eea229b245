"""``fengsui-edge usb``: take what a technician's stick brings, and leave an answer on it."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import msgspec

from drivers.profile import OWN_FOLDER, Shelf
from edge.bundles import find_anchor, newest_ns, take
from edge.clock import SystemClock
from edge.enrolment import FILE, read_settings
from edge.errors import EdgeError
from edge.identity import IdentityError, IdentityFolder
from edge.release import RELEASE
from edge.tools.terminal import print_json
from provisioning.errors import KeyFileError, RequestError
from provisioning.kit.usb import Answer, find_bundles, read_bundle_file, write_answer

EXAMPLES = """\
  fengsui-edge usb /media/stick --config /etc/fengsui/gateway.toml --data /var/lib/fengsui"""

STATUS = "a bundle was taken, or had been before; 1 none was"
DONE = frozenset({"taken", "known"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the stick is mounted")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="this gateway's configuration")
    parser.add_argument("--enrol", type=Path, metavar="FILE", help=f"{FILE}; else the one beside the configuration")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the agent's data")


def run(options: argparse.Namespace) -> int:
    """Take the stick's bundles. Raises EdgeError if the stick or this gateway's own files cannot be used."""
    try:
        paths = find_bundles(options.folder)
    except RequestError as error:
        raise EdgeError(str(error), hint=error.hint) from error
    if not paths:
        raise EdgeError(f"there is no bundle in {options.folder}", hint="write one: fengsui-provision usb make")
    answers = [_answer(path, options) for path in paths]
    if options.json:
        print_json({"answers": msgspec.to_builtins(answers)})
    else:
        for path, answer in zip(paths, answers, strict=True):
            print(f"{path.name}: {answer.result} {answer.said}".rstrip())
    return 0 if any(answer.result in DONE for answer in answers) else 1


def _answer(path: Path, options: argparse.Namespace) -> Answer:
    """Take one bundle, and write beside it what came of that."""
    enrol = options.enrol or options.config.parent / FILE
    settings = read_settings(enrol)
    anchor = find_anchor(settings.ca_sha256, enrol.parent / settings.ca_file if settings.ca_file else None)
    identity, now_ns = IdentityFolder(options.data), newest_ns(SystemClock())
    result, said, hint, order = "taken", "", "", ""
    try:
        bundle = read_bundle_file(path)
        taken = take(
            bundle, anchor, identity, _name(options, identity), now_ns, Shelf(options.config.parent / OWN_FOLDER)
        )
        order, said = taken.id, taken.gateway
    except RequestError as error:
        result, said, hint = error.name, str(error), error.hint
    except KeyFileError as error:
        result, said, hint = "unreadable", str(error), error.hint
    except IdentityError as error:
        result, said, hint = "not-kept", str(error), error.hint
    answer = Answer(
        gateway=_name(options, identity) or path.stem,
        result=result,
        said=said,
        hint=hint,
        order=order,
        at_ns=now_ns,
        release=RELEASE,
        key=identity.fingerprint(),
        csr=identity.request().strip(),
    )
    try:
        write_answer(path, answer)
    except KeyFileError as error:
        raise EdgeError(f"the answer cannot be written: {error}", hint=error.hint) from error
    return answer


def _name(options: argparse.Namespace, identity: IdentityFolder) -> str:
    """Return this gateway's name: what the fleet or a bundle gave, or its configuration says; "" if none does."""
    issued, on_site = identity.read(), identity.on_site()
    if issued is not None:
        return issued.gateway
    try:
        document = tomllib.loads(options.config.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise EdgeError(f"{options.config} cannot be read: {error}", hint="run: fengsui-edge check") from error
    said = document.get("gateway", {})
    named = str(said.get("id", "")) if isinstance(said, dict) else ""
    return named or (on_site.order.gateway if on_site else "")
