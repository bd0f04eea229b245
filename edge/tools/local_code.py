"""``fengsui-edge local-code``: make or change the site code that opens the gateway's own page."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from pathlib import Path

from edge.errors import EdgeError
from edge.local.code import hash_code, write_code
from edge.tools.terminal import note, print_json

EXAMPLES = """\
  fengsui-edge local-code /etc/fengsui/local-code
  fengsui-edge local-code /etc/fengsui/local-code --generate"""

STATUS = "the file was written; 1 it was not"
DIGITS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("file", type=Path, help="file to write: [local] code_file; it holds a hash, not the code")
    parser.add_argument("--generate", action="store_true", help="make a code of ten digits and show it once")


def run(options: argparse.Namespace) -> int:
    """Write the file. Raises EdgeError if the code is not taken or the file cannot be written."""
    code = "".join(secrets.choice("0123456789") for _ in range(DIGITS)) if options.generate else _ask()
    write_code(options.file, hash_code(code))
    if options.json:
        print_json({"file": str(options.file), "code": code if options.generate else None})
    elif options.generate:
        print(code)
    note(f"{options.file}: written. The agent reads it when it starts: restart it.")
    return 0


def _ask() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    code = getpass.getpass("site code: ")
    if getpass.getpass("again: ") != code:
        raise EdgeError("the two are not the same", hint="nothing was written: try again")
    return code
