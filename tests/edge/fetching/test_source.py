"""What a gateway fetches, and what it refuses: the attacks that The Update Framework names, and broken links."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata
from tuf.ngclient import Updater as Client

from edge.errors import EdgeError
from edge.fetching import download as downloading
from edge.fetching import http as requests
from edge.fetching.http import FetchError, Http
from edge.fetching.source import ReleaseSource, _numbers
from edge.fetching.unpack import unpack
from edge.updates.errors import CalledOffError, RefusedError
from edge.updates.updater import Fetched
from edge.updates.work import Work
from tests.edge.fetching.publisher import HARDWARE, NOW, ROOT_KEYS, TARGET_KEYS, Publisher, make_bundle


def silent(_done: int, _of: int) -> None:
    pass


def work(version: str = "0.2.0", kind: str = "agent", **changes) -> Work:
    return Work(action="7", kind=kind, version=version, **changes)


class Gateway:
    """A gateway's source of releases; a new one on the same folder is a gateway after its restart."""

    def __init__(self, url: str, folder: Path, root: bytes, release: str = "0.1.0", hardware: str = HARDWARE) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "root.json").write_bytes(root)
        self.folder = folder
        self.source = ReleaseSource(
            Http(url, lambda: None), folder / "root.json", folder / "updates",
            release=release, profiles=lambda: "", min_free_bytes=0, hardware=hardware,
        )  # fmt: skip

    def fetch(self, version: str = "0.2.0", tell=silent) -> Fetched:
        return self.source.fetch(work(version), tell)

    def refuses(self, words: str, version: str = "0.2.0") -> None:
        """Nothing is installed, and the reason is named."""
        with pytest.raises(EdgeError, match=words):
            self.fetch(version)
        assert not list((self.folder / "updates").glob("*.tree"))


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "fleet")


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    with publisher.serving() as served:
        yield served


@pytest.fixture
def gateway(url: str, tmp_path: Path, publisher: Publisher) -> Gateway:
    return Gateway(url, tmp_path / "gateway", publisher.root)


def test_signed_release_is_fetched_verified_and_unpacked_as_it_was_made(
    publisher: Publisher, gateway: Gateway, tmp_path: Path
) -> None:
    custom = publisher.release("0.2.0")
    told: list[tuple[int, int]] = []
    fetched = gateway.fetch(tell=lambda done, of: told.append((done, of)))
    assert fetched.tree_sha256 == custom["tree_sha256"]
    assert told[-1][0] == told[-1][1] == fetched.archive.stat().st_size
    room = tmp_path / "room"
    room.mkdir()
    gateway.source.unpack(fetched, room)
    assert (room / "fengsui-edge" / "fengsui-edge").stat().st_mode & 0o100
    gateway.source.clear()
    assert not fetched.archive.exists()


def test_the_frameworks_own_client_takes_the_same(publisher: Publisher, url: str, tmp_path: Path) -> None:
    publisher.release("0.2.0")
    client = Client(str(tmp_path / "m"), f"{url}/metadata", str(tmp_path), f"{url}/targets", bootstrap=publisher.root)
    target = client.get_targetinfo(f"agent/fengsui-edge-0.2.0-{HARDWARE}.tar.xz")
    assert target is not None
    assert Path(client.download_target(target, str(tmp_path / "file"))).exists()


def test_what_nobody_signed_for_this_machine_is_refused(publisher: Publisher, url: str, tmp_path: Path) -> None:
    publisher.release("0.2.0")
    Gateway(url, tmp_path / "arm", publisher.root, hardware="aarch64").refuses(
        "nobody has signed agent 0.2.0 for aarch64"
    )


def test_wrong_hardware_under_a_right_name_is_refused(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0", signed={"hardware": ["armv7l"]})
    gateway.refuses("made for armv7l")


def test_other_version_under_a_right_name_is_refused(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0", signed={"version": "0.9.0"})
    gateway.refuses("signed as agent 0.9.0")


def test_changed_file_is_refused_and_forgotten(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0")
    publisher.spoil = lambda path, octets: octets[:-9] + bytes(9) if path.startswith("targets") else octets
    gateway.refuses("not what was signed")
    assert not list((gateway.folder / "updates").glob("*.part"))


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "agent"])
def test_changed_metadata_are_refused(publisher: Publisher, gateway: Gateway, role: str) -> None:
    publisher.release("0.2.0")

    def spoil(path: str, octets: bytes) -> bytes:
        if f"{role}.json" not in path:
            return octets
        document = json.loads(octets)
        document["signed"]["expires"] = "2099-01-01T00:00:00Z"
        return json.dumps(document).encode()

    publisher.spoil = spoil
    gateway.refuses("signatures do not hold|do not match|hash")


def test_rollback_to_older_metadata_is_refused(publisher: Publisher, gateway: Gateway) -> None:
    old = {path.name: path.read_bytes() for path in publisher.repository.published.iterdir()}
    publisher.release("0.2.0")
    gateway.fetch()
    publisher.spoil = lambda path, octets: old.get(path.removeprefix("metadata/"), octets)
    gateway.refuses("signatures do not hold")


def test_frozen_metadata_are_refused_once_they_are_past_their_end(tmp_path: Path) -> None:
    long_ago = NOW - timedelta(days=8)
    publisher = Publisher(tmp_path / "fleet")
    publisher.release("0.2.0", at=long_ago)
    publisher.repository.renew(long_ago, is_due=True)
    with publisher.serving() as url:
        gateway = Gateway(url, tmp_path / "gateway", publisher.root)
        gateway.refuses("out of date.*|expired")
        with pytest.raises(EdgeError) as frozen:
            gateway.fetch()
        assert not isinstance(frozen.value, RefusedError), "it is tried again: a clock may have been wrong"


def test_mix_and_match_of_two_times_is_refused(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0")
    agent = (publisher.repository.published / "2.agent.json").read_bytes()
    publisher.release("0.3.0")
    publisher.spoil = lambda path, octets: agent if path == "metadata/3.agent.json" else octets
    gateway.refuses("signatures do not hold", "0.3.0")


def test_all_online_keys_stolen_install_nothing(publisher: Publisher, gateway: Gateway, tmp_path: Path) -> None:
    """The thief signs snapshot and timestamp, and serves a bundle that no offline key has signed."""
    publisher.release("0.2.0")
    repository = publisher.repository
    archive, custom = make_bundle(tmp_path / "thief", "6.6.6")
    repository.add_target("agent", f"agent/{archive.name}", archive, custom, NOW)
    staged = Metadata.from_file(str(repository.staged / "agent.json"))
    for role in ("snapshot", "timestamp"):
        staged.sign(repository._online(role), append=True)
    staged.to_file(str(repository.published / f"{staged.signed.version}.agent.json"))
    (repository.staged / "agent.json").unlink()
    repository.renew(NOW, is_due=True)
    publisher.keep(archive)
    gateway.refuses("signatures do not hold", "6.6.6")


def test_one_of_two_signatures_is_none(publisher: Publisher, gateway: Gateway) -> None:
    from fleet.errors import InvalidError

    publisher.release("0.2.0", publish=False)
    with pytest.raises(InvalidError, match="agent lacks 1"):
        publisher.sign_and_publish(TARGET_KEYS[0])
    with pytest.raises(InvalidError, match="agent lacks 1"):
        publisher.sign_and_publish(TARGET_KEYS[0], ROOT_KEYS[0])
    gateway.refuses("nobody has signed")


def test_rotated_keys_are_followed_and_those_that_were_replaced_sign_nothing_any_more(
    publisher: Publisher, gateway: Gateway
) -> None:
    publisher.release("0.2.0")
    gateway.fetch()
    fresh = [_new_key() for _ in range(6)]
    publisher.repository.rotate([k.public_key for k in fresh[:3]], [k.public_key for k in fresh[3:]], 2, NOW)
    publisher.sign_and_publish(*ROOT_KEYS[:2], *fresh)
    publisher.release("0.3.0", publish=False)
    publisher.sign_and_publish(*fresh[3:5])
    assert gateway.fetch("0.3.0").archive.exists()
    from fleet.errors import InvalidError

    publisher.release("0.4.0", publish=False)
    with pytest.raises(InvalidError, match="lacks 2"):
        publisher.sign_and_publish(*TARGET_KEYS)


def _new_key() -> CryptoSigner:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return CryptoSigner(Ed25519PrivateKey.generate())


def test_fleet_of_another_root_is_refused(publisher: Publisher, url: str, tmp_path: Path) -> None:
    fresh = [_new_key() for _ in range(6)]
    other = Publisher.__new__(Publisher)
    other.repository = type(publisher.repository)(tmp_path / "other")
    other.repository.found([k.public_key for k in fresh[:3]], [k.public_key for k in fresh[3:]], 2, NOW)
    other.sign_and_publish(*fresh)
    publisher.release("0.2.0")
    Gateway(url, tmp_path / "gateway", other.root).refuses("signatures do not hold")


def test_endless_data_ends_where_the_signed_size_does(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0")
    publisher.endless = True
    gateway.refuses("sends more than|broke off|mismatch|exceed|does not answer|hold")


def test_slow_data_end(publisher: Publisher, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.release("0.2.0")
    monkeypatch.setattr(requests, "SLOW_S", 0.2)
    monkeypatch.setattr(requests, "SLOW_BYTES_S", 10_000)
    monkeypatch.setattr(downloading, "TRIES_MOST", 1)
    publisher.slow_s = 0.01
    gateway.refuses("too slowly")


def test_link_that_breaks_off_again_and_again_brings_the_whole_file_in_the_end(
    publisher: Publisher, gateway: Gateway
) -> None:
    publisher.release("0.2.0")
    size = len(next(iter(publisher.files.values())))

    def spoil(path: str, octets: bytes) -> bytes:
        publisher.cut = size // 4 if path.startswith("targets") else 0
        return octets

    publisher.spoil = spoil
    assert gateway.fetch().archive.stat().st_size == size
    ranges = [asked for asked in publisher.asked if "bytes=" in asked]
    assert len(ranges) >= 3


def test_download_goes_on_after_a_restart_where_it_ended(publisher: Publisher, url: str, tmp_path: Path) -> None:
    publisher.release("0.2.0")

    def call_off(done: int, _of: int) -> None:
        if done > 0:
            raise CalledOffError("enough")

    first = Gateway(url, tmp_path / "gateway", publisher.root)
    with pytest.raises(CalledOffError):
        first.fetch(tell=call_off)
    part = next((tmp_path / "gateway" / "updates").glob("*.part"))
    have = part.stat().st_size
    assert have > 0
    assert Gateway(url, tmp_path / "gateway", publisher.root).fetch().archive == part


def test_what_a_power_cut_spoilt_is_fetched_anew_and_speaks_against_no_release(
    publisher: Publisher, gateway: Gateway
) -> None:
    publisher.release("0.2.0")
    part = gateway.fetch().archive
    whole = part.read_bytes()
    part.write_bytes(bytes(len(whole) // 2))
    with pytest.raises(EdgeError, match="begun before a restart") as spoilt:
        gateway.fetch()
    assert not isinstance(spoilt.value, RefusedError)
    assert gateway.fetch().archive.read_bytes() == whole


def test_what_was_withdrawn_is_not_asked_for_again(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0")
    publisher.files.clear()
    with pytest.raises(FetchError) as gone:
        gateway.fetch()
    assert gone.value.is_final
    assert sum("targets/" in asked for asked in publisher.asked) == 1


def test_older_version_needs_a_signed_permission(publisher: Publisher, url: str, tmp_path: Path) -> None:
    publisher.release("0.2.0")
    publisher.release("0.2.1", signed={"may_replace_newer": True})
    gateway = Gateway(url, tmp_path / "gateway", publisher.root, release="0.10.0")
    gateway.refuses("0.10.0 runs, and 0.2.0 is older")
    assert gateway.fetch("0.2.1").archive.exists()


def test_versions_compare_as_numbers() -> None:
    assert _numbers("0.2") == _numbers("0.2.0.0") < _numbers("0.10")
    assert _numbers("nonsense") < _numbers("0.0")


@pytest.mark.parametrize("version", ["../../etc", "0.2.0/../x", "", "1", "0.2.0-rc1", "9" * 50 + ".1"])
def test_version_that_is_none_asks_for_nothing(publisher: Publisher, gateway: Gateway, version: str) -> None:
    gateway.refuses("is no version", version)
    assert publisher.asked == []


def test_full_disk_is_said_before_anything_is_fetched(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0", signed={"unpacked": 900_000_000})
    gateway.source._min_free_bytes = 10**15
    gateway.refuses("octets are free")
    assert not any("targets/" in asked for asked in publisher.asked)


def test_disk_that_takes_nothing_ends_the_attempt_in_words(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0")
    part = gateway.fetch().archive
    part.unlink()
    part.symlink_to("/dev/full")
    gateway.refuses("Invalid argument|No space")


def test_download_that_was_given_up_takes_no_room_from_the_next_release(publisher: Publisher, gateway: Gateway) -> None:
    publisher.release("0.2.0")
    publisher.release("0.3.0")
    given_up = gateway.fetch("0.2.0").archive
    fetched = gateway.fetch("0.3.0").archive
    assert [fetched] == list((gateway.folder / "updates").glob("*.part"))
    assert fetched != given_up


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        member("../outside"),
        member("/etc/outside"),
        member("inner/../../outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("inner/link", tarfile.SYMTYPE, "../../outside"),
        member("hard", tarfile.LNKTYPE, "release.json"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: info.name,
)
def test_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    archive, _ = make_bundle(tmp_path / "made", "0.2.0", extra=lambda tar: tar.addfile(hostile, io.BytesIO()))
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(RefusedError):
        unpack(archive, room, 10**6)
    assert not (tmp_path / "outside").exists()


def test_file_through_a_link_of_the_same_archive_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    archive = tmp_path / "made" / "links.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.addfile(member("a", tarfile.SYMTYPE, "b"))
        tar.addfile(member("a"), io.BytesIO())
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises((RefusedError, OSError)):
        unpack(archive, room, 10**6)


def test_file_behind_links_that_lead_out_only_together_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    archive = tmp_path / "made" / "links.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.addfile(member("d", tarfile.DIRTYPE))
        tar.addfile(member("d/up", tarfile.SYMTYPE, ".."))
        tar.addfile(member("out", tarfile.SYMTYPE, "d/up/.."))
        tar.addfile(member("out/slot.json"), io.BytesIO())
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(RefusedError, match="leads out"):
        unpack(archive, room, 10**6)
    assert not (tmp_path / "slot.json").exists()


def test_archive_that_is_spoilt_in_the_middle_is_refused(tmp_path: Path) -> None:
    archive, _ = make_bundle(tmp_path / "made", "0.2.0", content=json.dumps(list(range(50_000))).encode())
    octets = bytearray(archive.read_bytes())
    middle = len(octets) // 2
    octets[middle : middle + 8] = b"\xff" * 8
    archive.write_bytes(octets)
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(RefusedError, match="cannot be read"):
        unpack(archive, room, 10**6)


def test_archive_that_holds_more_than_was_signed_is_refused(tmp_path: Path) -> None:
    archive, _ = make_bundle(tmp_path / "made", "0.2.0", content=bytes(200_000))
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(RefusedError, match="more than was signed"):
        unpack(archive, room, 100_000)


def test_tree_that_is_not_the_signed_one_is_refused(publisher: Publisher, gateway: Gateway, tmp_path: Path) -> None:
    publisher.release("0.2.0", signed={"tree_sha256": "ab" * 32})
    fetched = gateway.fetch()
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(RefusedError, match="tree"):
        gateway.source.unpack(fetched, room)
