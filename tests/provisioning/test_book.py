"""The book: a line that was told is there, whenever the laptop dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from provisioning.errors import RequestError
from provisioning.kit.book import Book
from provisioning.kit.sealed import seal, unseal
from provisioning.kit.texts import guess_language, load

WRITER = """
import sys
from pathlib import Path
from provisioning.errors import RequestError
from provisioning.kit.book import Book
from provisioning.kit.sealed import seal, unseal
book = Book(Path(sys.argv[1]))
while True:
    print(book.add("kit-1", "scan", "gw-yufu-0001", "who", 1, {"found": "x" * 500}).id, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 23, 60])
def test_a_book_survives_sigkill_with_every_line_that_was_told(tmp_path: Path, after: int) -> None:
    path = tmp_path / "book.json"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
        told += [line.strip() for line in writer.stdout if line.endswith("\n")]
    kept = [line.id for line in Book(path).lines()]
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1


def test_what_the_fleet_took_waits_no_longer(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.json")
    first, second = (book.add("kit-1", "scan", "gw-yufu-0001", "who", at, {}) for at in (1, 2))
    book.mark([first.id], 5)
    assert [line.id for line in book.waiting()] == [second.id]
    assert (tmp_path / "book.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("said", "language"), [("zh_CN.UTF-8", "zh"), ("en_US.UTF-8", "en"), ("C", "en"), ("", "en")])
def test_the_terminal_says_the_language(said: str, language: str) -> None:
    assert guess_language({"LANG": said}) == language


def test_every_text_is_there_in_both_languages() -> None:
    assert all(len(texts) == 2 and all(texts) for texts in load().values())


@pytest.mark.parametrize(("n", "r", "p"), [(2**19, 8, 1), (3, 8, 1), (2**15, 64, 1), (2**15, 8, 64), (0, 8, 1)])
def test_a_box_that_asks_for_endless_work_is_not_opened(n: int, r: int, p: int) -> None:
    sealed = seal(b"code", "a long passphrase", b"kit")
    with pytest.raises(RequestError, match="for ever"):
        unseal(msgspec.structs.replace(sealed, n=n, r=r, p=p), "a long passphrase", b"kit")


def test_a_box_opens_by_its_passphrase_for_its_kit_alone() -> None:
    sealed = seal(b"code", "a long passphrase", b"kit")
    assert unseal(sealed, "a long passphrase", b"kit") == b"code"
    for passphrase, kit in (("another passphrase", b"kit"), ("a long passphrase", b"other")):
        with pytest.raises(RequestError) as refused:
            unseal(sealed, passphrase, kit)
        assert refused.value.name == "passphrase"
    with pytest.raises(RequestError):
        seal(b"code", "short", b"kit")
