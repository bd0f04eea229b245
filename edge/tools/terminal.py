"""What the tools show: one JSON document, or plain tables for people; progress and notes go to stderr.

`rich` is imported where something is drawn, so that the agent never loads it.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

PIPE_COLUMNS = 200
"""How wide a table may be where nobody looks."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let the command line ask for JSON, before or behind the words of a command."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def print_json(document: Any) -> None:
    """Print one JSON document on a line of its own, at once."""
    print(msgspec.json.encode(document).decode(), flush=True)


def note(text: str) -> None:
    """Tell something that is no result; a line that begins with blanks stays as it is, to be copied."""
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else PIPE_COLUMNS
    for line in text.splitlines():
        print(line if line.startswith(" ") else textwrap.fill(line, width), file=sys.stderr, flush=True)


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_COLUMNS


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], indent: int = 0) -> None:
    """Print rows under headers. Long cells are folded, never cut: a register map is no place for three dots."""
    from rich.console import Console

    Console(width=columns(), highlight=False, markup=False, emoji=False).print(make_table(headers, rows, indent))


def make_table(headers: Sequence[str], rows: Sequence[Sequence[str]], indent: int = 0) -> Any:
    """Make a table to print; columns that are empty throughout are left out."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    shown = [index for index in range(len(headers)) if any(row[index] for row in rows)]
    for index in shown:
        table.add_column(headers[index], overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[index], style=_style(row[index])) for index in shown))
    return Padding(table, (0, 0, 0, indent)) if indent else table


def _style(cell: str) -> str:
    """Only what is wrong has a colour."""
    if cell.startswith("bad"):
        return "red"
    return "yellow" if cell.startswith("uncertain") else ""


def print_wrapped(text: str, indent: int = 0) -> None:
    """Print a text, folded between words to the width of the terminal."""
    margin = " " * indent
    print(textwrap.fill(text, columns(), initial_indent=margin, subsequent_indent=margin))


def format_time(seconds: float) -> str:
    """Show a time: 45 s, 2 min 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress(Protocol):
    """How far something is."""

    def __call__(self, done: float, what: str) -> None:
        """Show that ``done`` of the total is done and what is being done."""
        ...


@contextlib.contextmanager
def progress(total: float, label: str) -> Iterator[Progress]:
    """Show a bar on stderr while something lasts, if stderr is a terminal; it is gone afterwards."""
    if not sys.stderr.isatty():
        yield lambda _done, _what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda done, what: bar.update(task, completed=done, description=f"{label} {what}".rstrip())


def ask(question: str) -> bool:
    """Ask for yes or no; anything but y is no, and so are Ctrl-C and Ctrl-D."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return False
