"""What the tools show: one JSON document, or plain tables for people; progress and notes go to stderr.

`rich` is imported where something is drawn, so that the agent never loads it.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from rich.table import Table

PIPE_COLUMNS = 200
"""How wide a table may be where nobody looks."""

GAP, FOLDED = 2, 10
"""Cells between two columns, and how narrow a column that is folded may become."""

UNBROKEN = "\u00a0"
"""Keeps a value and its unit on one line."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let the command line ask for JSON, before or behind the words of a command."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def print_json(document: Any) -> None:
    """Print one JSON document on a line of its own, at once."""
    print(msgspec.json.encode(document).decode(), flush=True)


def note(text: str) -> None:
    """Tell something that is no result. Each line is folded to the terminal, with its own indent."""
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    for line in text.splitlines():
        words = line.lstrip(" ")
        print(fold(words, width, len(line) - len(words)), file=sys.stderr, flush=True)


def note_command(text: str) -> None:
    """Tell a command to type, on a line of its own that is never folded: it is there to be copied."""
    print(f"  {text}", file=sys.stderr, flush=True)


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_COLUMNS


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], folds: Collection[str] = ()) -> None:
    """Print rows under headers. Long cells are folded, never cut: a register map is no place for three dots.

    ``folds`` are the columns to fold; the others only if there is no room even then.
    """
    from rich.console import Console

    table = make_table(headers, rows, columns(), folds)
    Console(width=columns(), highlight=False, markup=False, emoji=False).print(table)


def make_table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, folds: Collection[str] = ()) -> Table:
    """Make a table to print; columns that are empty throughout are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    shown = [index for index in range(len(headers)) if any(row[index] for row in rows)]
    widths = {index: max(cell_width(row[index]) for row in (headers, *rows)) + GAP for index in shown}
    needed = sum(min(cells, FOLDED) if headers[index] in folds else cells for index, cells in widths.items())
    for index in shown:
        stays = needed <= width and headers[index] not in folds
        table.add_column(headers[index], overflow="fold", no_wrap=stays)
    for row in rows:
        table.add_row(*(Text(row[index], style=_style(row[index])) for index in shown))
    return table


def _style(cell: str) -> str:
    """Only what is wrong has a colour."""
    if cell.startswith("bad"):
        return "red"
    return "yellow" if cell.startswith("uncertain") else ""


def print_folded(text: str, indent: int = 0) -> None:
    """Print a text, folded between words to the width of the terminal, if it is one."""
    print(fold(text, columns() if sys.stdout.isatty() else None, indent))


def fold(text: str, width: int | None, indent: int = 0) -> str:
    """Fold a text between words to so many cells; without a width it stays one line.

    A word is never broken, so that a path can be copied, nor is a space that `UNBROKEN` stands for.
    """
    margin = " " * indent
    lines: list[str] = []
    for word in text.split(" "):
        if lines and (width is None or cell_width(lines[-1]) + 1 + cell_width(word) <= width):
            lines[-1] += f" {word}"
        else:
            lines.append(margin + word)
    return "\n".join(lines).replace(UNBROKEN, " ")


def cell_width(text: str) -> int:
    """How many cells of a terminal a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


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
