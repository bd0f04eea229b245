"""Files of keys: their owner's alone, whole or not there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioning.errors import KeyFileError
from provisioning.keys import dump_key, make_key, parse_key, read_file, write_file


@contextmanager
def no_room(octets: int = 64) -> Iterator[None]:
    """Have every file end early, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_key_is_written_for_its_owner_alone_even_over_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"
    key = make_key()
    write_file(path, dump_key(key))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    write_file(path, dump_key(key))
    assert path.stat().st_mode & 0o777 == 0o600
    assert parse_key(read_file(path)).public_key() == key.public_key()


def test_a_disk_that_is_full_leaves_the_old_key_and_no_halves(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with no_room(), pytest.raises(KeyFileError, match="cannot be written") as refused:
        write_file(path, dump_key(make_key()))
    assert list(tmp_path.iterdir()) == []
    assert "full" in refused.value.hint
    old = dump_key(make_key())
    write_file(path, old)
    with no_room(), pytest.raises(KeyFileError):
        write_file(path, dump_key(make_key()))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_an_encrypted_key_opens_by_its_passphrase_alone() -> None:
    text = dump_key(make_key(), b"right")
    assert b"ENCRYPTED" in text
    assert parse_key(text, b"right")
    for passphrase in (b"wrong", b""):
        with pytest.raises(ValueError, match=r"."):
            parse_key(text, passphrase)


@pytest.mark.parametrize("text", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_no_key(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_key(text)


def test_a_link_in_the_drafts_place_is_not_followed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    (tmp_path / ".key.pem.new").symlink_to(theirs)
    with pytest.raises(KeyFileError):
        write_file(tmp_path / "key.pem", b"new")
    assert theirs.read_bytes() == b"precious"


def test_two_who_write_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The list of revoked certificates is written by several programs of the fleet."""
    path, contents = tmp_path / "gateways.crl", (b"one" * 2000, b"two" * 2000)
    with ThreadPoolExecutor(2) as writers:
        for done in [writers.submit(_write_often, path, octets) for octets in contents]:
            done.result(30)
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def _write_often(path: Path, octets: bytes) -> None:
    for _ in range(50):
        write_file(path, octets)
