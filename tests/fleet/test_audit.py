"""The audit log: what is written, and that nothing can be changed in it unnoticed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from fleet.audit import service as audit
from fleet.audit.chain import START, Entry, Head, link, read_head, verify
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.cli import main
from tests.fleet.conftest import both_databases


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


WANG = Actor("wang", "console", "192.0.2.7")


def write(services: Services, count: int) -> None:
    with services.database.writing() as session:
        for number in range(count):
            audit.append(session, services.clock(), WANG, "config.put", f"gw-{number}", {"after": number})


def chain(count: int) -> tuple[list[tuple[Entry, str]], Head]:
    lines, digest = [], START
    for number in range(1, count + 1):
        entry = Entry(number, number, "wang", "console", "", "config.put", "gw", "done", "{}")
        digest = link(digest, entry)
        lines.append((entry, digest))
    return lines, Head(count, digest)


def test_a_whole_chain_has_no_trouble() -> None:
    lines, head = chain(5)
    assert verify(lines, head) == verify(lines, head, Head(3, lines[2][1])) == verify([], Head()) == ()


def test_a_changed_line_is_found_whichever_column() -> None:
    lines, head = chain(3)
    entry, digest = lines[1]
    for field, value in (("at_ns", 9), ("actor", "li"), ("via", "cli"), ("address", "x"), ("action", "y"),
                         ("target", "z"), ("outcome", "failed"), ("detail", "[]")):  # fmt: skip
        changed = Entry(*(value if name == field else getattr(entry, name) for name in Entry.__struct_fields__))
        assert verify([lines[0], (changed, digest), lines[2]], head) == (
            "line 2 was changed, or does not follow line 1",
        )


def test_a_text_moved_from_one_column_to_the_next_is_found() -> None:
    lines, head = chain(1)
    entry, digest = lines[0]
    moved = Entry(1, 1, "wangconsole", "", "", *(getattr(entry, name) for name in Entry.__struct_fields__[5:]))
    assert verify([(moved, digest)], head)


def test_a_removed_an_inserted_and_a_cut_line_are_found() -> None:
    lines, head = chain(4)
    assert "line 2 is missing" in verify([lines[0], *lines[2:]], head)[0]
    assert verify([*lines[:2], lines[1], *lines[2:]], head)
    assert "its head names line 4" in verify(lines[:3], head)[0]


def test_a_chain_written_anew_is_found_by_a_head_that_was_noted_elsewhere() -> None:
    lines, head = chain(4)
    shorter, forged = chain(3)
    assert verify(shorter, forged) == ()
    assert verify(shorter, forged, head) == ("line 4 is missing that was noted elsewhere",)
    other = Head(3, "0" * 64)
    assert verify(lines, head, other) == ("line 3 is not the one that was noted elsewhere",)


@pytest.mark.parametrize(
    "text", ["", "3", "3:abc", "x:" + "0" * 64, "3:" + "g" * 64, "-1:" + "0" * 64, "٣:" + "0" * 64]
)
def test_what_is_no_head(text: str) -> None:
    assert read_head(text) is None


def test_the_database_refuses_to_change_or_delete_a_line(services: Services) -> None:
    write(services, 2)
    for statement in ("UPDATE audit SET actor = 'li'", "DELETE FROM audit WHERE id = 1"):
        with pytest.raises(DBAPIError, match="append-only"), services.database.writing() as session:
            session.execute(sa.text(statement))
    with services.database.reading() as session:
        assert audit.check(session) == ()
        assert [line.id for line in audit.list_lines(session)] == [2, 1]


def test_a_line_goes_with_its_change_and_not_without(services: Services) -> None:
    write(services, 1)
    with services.database.writing() as session:
        audit.append(session, services.clock(), WANG, "config.put")
        session.rollback()
    write(services, 1)
    with services.database.reading() as session:
        assert audit.check(session) == ()
        assert audit.find_head(session).number == 2


def test_text_from_outside_stays_one_cell_and_no_formula(services: Services) -> None:
    hostile = Actor("=1+1\r\n\x1b[31m", "console", "a\0b" + "x" * 500)
    with services.database.writing() as session:
        audit.append(session, services.clock(), hostile, "sign-in", "\0", {"text": "\0"})
    with services.database.reading() as session:
        text = audit.write_csv(audit.list_lines(session))
        assert audit.check(session) == ()
    assert "'=1+1??" in text
    assert not {"\0", "\x1b"} & set(text)
    assert text.count("\n") == 2


def test_the_command_line_verifies_and_tells_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    assert main(["init", *data]) == 0
    for key in ("one", "two", "three"):
        assert main(["site", "add", key, *data]) == 0
    capsys.readouterr()
    assert main(["audit", "head", *data]) == 0
    noted = capsys.readouterr().out.strip()
    assert noted.startswith("3:")
    assert main(["audit", "verify", "--head", noted, *data]) == 0
    assert main(["audit", "export", *data]) == 0
    assert "site.add" in capsys.readouterr().out
    with sqlite3.connect(tmp_path / "fleet.db") as database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute("UPDATE audit SET target = 'four' WHERE id = 2")
    database.close()
    assert main(["audit", "verify", *data]) == 1
    assert "line 2 was changed" in capsys.readouterr().err
    assert main(["audit", "verify", "--head", "nonsense", *data]) == 1
