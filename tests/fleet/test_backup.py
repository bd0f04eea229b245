"""Backup and restore: of a fleet at work, into a fleet that goes on where it was."""

from __future__ import annotations

import tarfile
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from fleet.backup import back_up, restore
from fleet.bootstrap import Services, bootstrap, check_database
from fleet.cli import main
from fleet.committer import Committer
from fleet.errors import SetupError
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.readings.models import Record
from fleet.settings import FILE, load
from tests.fleet import edge
from wire.conversation import Ack, Greet, Welcome
from wire.topics import Up


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    assert main(["init", "--data", str(folder)]) == 0
    (folder / "keys").mkdir()
    (folder / "keys" / "authority.pem").write_text("a key")
    return folder


def fleet(data: Path) -> tuple[Services, Committer]:
    services = bootstrap(load(data))
    check_database(services)
    return services, Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)


def open_session(committer: Committer) -> str:
    (reply,) = committer.commit([edge.up(Up.HELLO, edge.hello())])
    assert isinstance(reply.message, Welcome)
    return reply.message.session


def test_backup_of_a_fleet_that_commits_meanwhile_is_one_moment_of_it(data: Path, tmp_path: Path) -> None:
    services, committer = fleet(data)
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "", None, 0)
    opened = open_session(committer)
    stop, seqs = threading.Event(), []

    def work() -> None:
        seq = 0
        while not stop.is_set():
            seq += 1
            committer.commit([edge.up(Up.BATCH, edge.batch(opened, seq, edge.scan(seq, 1.0, 2.0)))])
            seqs.append(seq)

    worker = threading.Thread(target=work)
    worker.start()
    while len(seqs) < 3:
        time.sleep(0.01)
    at_least = len(seqs)
    back_up(load(data), tmp_path / "backup.tar.gz")
    stop.set()
    worker.join()
    services.close()
    restore(tmp_path / "backup.tar.gz", tmp_path / "new", "")
    assert (tmp_path / "new" / "keys" / "authority.pem").read_text() == "a key"
    assert load(tmp_path / "new").secret_key == load(data).secret_key
    again, restored = fleet(tmp_path / "new")
    with again.database.reading() as session:
        kept = list(session.scalars(sa.select(Record.seq).order_by(Record.seq)))
        cursor = gateways.committed(session, edge.GATEWAY, "e1", edge.batch("", 1).lane)
    assert kept == list(range(1, cursor + 1))
    assert cursor >= at_least
    # The gateway goes on in a session that nobody knows: it is greeted, and refills what came after the backup.
    (reply,) = restored.commit([edge.up(Up.BATCH, edge.batch(opened, cursor + 5, edge.scan(1, 1.0, 2.0)))])
    assert isinstance(reply.message, Greet)
    opened = open_session(restored)
    (reply,) = restored.commit([edge.up(Up.BATCH, edge.batch(opened, cursor, edge.scan(1, 1, 2), edge.scan(2, 1, 2)))])
    assert isinstance(reply.message, Ack)
    assert reply.message.committed == cursor + 1
    again.close()


@pytest.mark.peer
def test_backup_and_restore_of_postgresql(empty_postgresql: str, tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.tar.gz"
    assert main(["init", "--data", str(data), "--database", empty_postgresql]) == 0
    services, _ = fleet(data)
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "罐区", None, 0)
    assert main(["backup", "--data", str(data), "--to", str(file)]) == 0
    with services.database.writing() as session:
        gateways.register(session, "gw-later-0001", "", None, 0)
    services.close()
    words = ["restore", "--from", str(file), "--data", str(tmp_path / "new"), "--database", empty_postgresql]
    assert main(words) == 0
    again, _ = fleet(tmp_path / "new")
    with again.database.reading() as session:
        assert [(row.name, row.title) for row in gateways.list_all(session)] == [(edge.GATEWAY, "罐区")]
    again.close()


def test_backup_holds_secrets_and_only_its_owner_may_read_it(data: Path, tmp_path: Path) -> None:
    assert main(["backup", "--data", str(data), "--to", str(tmp_path / "b")]) == 0
    assert (tmp_path / "b").stat().st_mode & 0o077 == 0


def test_backup_overwrites_nothing_and_restore_no_fleet(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("mine")
    with pytest.raises(SetupError, match="is there already"):
        back_up(load(data), file)
    assert file.read_text() == "mine"
    file.unlink()
    back_up(load(data), file)
    with pytest.raises(SetupError, match="there is a fleet in"):
        restore(file, data, "")


@pytest.mark.parametrize("octets", [b"", b"no backup", b"\x1f\x8b\x08\x00"])
def test_file_that_is_no_backup_is_told_apart(octets: bytes, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(octets)
    with pytest.raises(SetupError, match="cannot restore") as caught:
        restore(file, tmp_path / "new", "")
    assert caught.value.hint


def test_disk_without_room_leaves_no_half_a_backup(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot write") as caught:
        back_up(load(data), tmp_path / "no" / "such" / "folder" / "b")
    assert caught.value.hint
    assert not list(tmp_path.rglob("*.unfinished"))


@pytest.mark.parametrize("kind", ["above", "link", "device"])
def test_archive_that_would_write_elsewhere_is_refused(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    member = tarfile.TarInfo("../outside" if kind == "above" else "inside")
    member.type = {"above": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}[kind]
    member.linkname = str(outside) if kind == "link" else ""
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        settings = tarfile.TarInfo(FILE)
        tar.addfile(settings)
        tar.addfile(member)
    with pytest.raises(SetupError, match="is not a file within it"):
        restore(tmp_path / "bad.tar.gz", tmp_path / "new", "")
    assert not outside.exists()
    assert not (tmp_path / "new" / "inside").exists()


def test_backup_within_the_data_directory_is_refused(data: Path) -> None:
    with pytest.raises(SetupError, match="within the data directory"):
        back_up(load(data), data / "keys" / "backup.tar.gz")
    assert sorted(path.name for path in (data / "keys").iterdir()) == ["authority.pem"]
