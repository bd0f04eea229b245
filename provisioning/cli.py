"""The command line `fengsui-provision`: what the factory and the technician need."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from provisioning.codes import make_code
from provisioning.errors import ProvisioningError, RequestError
from provisioning.keys import PUBLIC, read_file, write_file
from provisioning.kit import cli as kit
from provisioning.kit.cli import translate
from provisioning.label import KINDS, Label, draw, make_link, read_list, write_claims, write_enrol_toml
from wire.topics import is_gateway

COUNT_MOST = 10_000
SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status; an error is one line with a hint, never a traceback."""
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except ProvisioningError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"fengsui-provision: {translate(error, arguments)}{hint}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(prog="fengsui-provision", description="Provisions Fengsui gateways.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    about = "make labels, the claims behind them, and what their gateways need"
    label = commands.add_parser("label", help=about, description=about)
    label.add_argument("--url", required=True, help="the fleet's address, https://host")
    label.add_argument("--ca-sha256", required=True, metavar="HEX", help="what 'fengsui-fleet ca show' prints")
    label.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that does not exist yet")
    label.add_argument("--kind", choices=KINDS, default="png", help="what the labels are drawn as")
    which = label.add_mutually_exclusive_group()
    which.add_argument("--list", type=Path, metavar="FILE", help="CSV of the gateways: gateway,title,site,template")
    which.add_argument("--count", type=int, default=1, metavar="N", help="labels of gateways that get a name later")
    label.set_defaults(run=_label)
    kit.add(commands)
    return parser


def _label(arguments: argparse.Namespace) -> None:
    if not SHA256.fullmatch(arguments.ca_sha256):
        raise RequestError("ca", "--ca-sha256 is not a SHA-256", hint="64 of 0-9 and a-f")
    labels = _labels(arguments)
    out: Path = arguments.out
    if out.exists():
        raise RequestError("out", f"{out} is there already", hint="name another folder: labels are made once")
    for number, label in enumerate(labels, 1):
        name = label.gateway or f"label-{number:04}"
        write_file(out / f"{name}.{arguments.kind}", draw(make_link(arguments.url, label.code), arguments.kind))
        write_file(out / name / "enrol.toml", write_enrol_toml(arguments.url, arguments.ca_sha256, label.code))
        print(f"{name}: {label.code}")
    write_file(out / "claims.csv", write_claims(labels), PUBLIC)
    print(f"next, on the fleet: fengsui-fleet claim import {out / 'claims.csv'}; each enrol.toml goes to its gateway")


def _labels(arguments: argparse.Namespace) -> list[Label]:
    if arguments.list is None:
        if not 1 <= arguments.count <= COUNT_MOST:
            raise RequestError("count", f"--count is 1 to {COUNT_MOST}")
        return [Label(make_code()) for _ in range(arguments.count)]
    try:
        rows = read_list(read_file(arguments.list).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError("list", f"{arguments.list} is not UTF-8", hint="save it as CSV in UTF-8") from error
    names = [row["gateway"] for row in rows]
    for line, name in enumerate(names, 2):
        if not is_gateway(name) or name in names[: line - 2]:
            wrong = "comes twice" if is_gateway(name) else "is not a gateway name"
            raise RequestError("list", f"line {line}: '{name}' {wrong}", hint="use 7 to 63 of a-z, 0-9 and '-'")
    return [Label(make_code(), **row) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
