"""Releases in the fleet: from an offline key to what gateways are served, by the command line."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from fleet.alarms import own
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.cli import main
from fleet.releases import service
from fleet.releases.repository import Repository, utc_now
from fleet.upkeep import Upkeep
from fleet.watcher import Watcher
from tests.edge.fetching.publisher import make_bundle
from tests.fleet.conftest import Clock

PASSPHRASE = "four words of mine"


class Engineer:
    """A release engineer with three keys for root and three for targets, and a fleet."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE)
        for role in ("root", "targets"):
            for number in range(3):
                assert self.run("keys", "make", self.key(role, number), *self.secret, at_fleet=False) == 0

    def key(self, role: str, number: int) -> Path:
        return self.folder / f"{role}-{number}"

    @property
    def secret(self) -> tuple[str, Path]:
        return "--passphrase-file", self.passphrase

    def run(self, *words: object, at_fleet: bool = True) -> int:
        more = ("--data", self.data) if at_fleet else ()
        return main(["release", *map(str, (*words, *more))])

    def init(self) -> int:
        keys = [
            word
            for role in ("root", "targets")
            for number in range(3)
            for word in (f"--{role}-key", f"{self.key(role, number)}.pub")
        ]
        return self.run("root", "init", *keys)

    def sign(self, *keys: tuple[str, int]) -> None:
        for role, number in keys:
            assert self.run("sign", "--key", self.key(role, number), *self.secret) == 0


def fetch(client, path: str, **headers: str):
    """Ask for a file of the releases, and read it to its end."""
    with client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()}) as answer:
        return answer.status_code, answer.data, answer.headers


ALL = (("root", 0), ("root", 1), ("targets", 0), ("targets", 1))


@pytest.fixture
def engineer(services: Services, tmp_path: Path, clock: Clock) -> Engineer:
    clock.now_ns = time.time_ns()  # the command line has no other
    (tmp_path / "usb").mkdir()
    (tmp_path / "fleet.toml").write_text('broker_password = "service-secret"\nsecret_key = "signing-key"\n')
    return Engineer(tmp_path / "usb", services.settings.data_dir)


def release(engineer: Engineer, version: str = "0.2.0", *more: str) -> Path:
    archive, custom = make_bundle(engineer.folder, version)
    side = service.find_sidecar(archive)
    side.write_text(f'{{"tree_sha256": "{custom["tree_sha256"]}"}}')
    assert engineer.run("add", archive, *more) == 0
    return archive


def test_from_the_keys_to_what_a_gateway_is_served_in_ranges(
    services: Services, engineer: Engineer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engineer.init() == 0
    engineer.sign(*ALL)
    assert engineer.run("publish") == 0
    archive = release(engineer)
    capsys.readouterr()
    assert engineer.run("publish") == 1
    assert "agent lacks 2" in capsys.readouterr().err
    engineer.sign(("targets", 0))
    assert engineer.run("publish") == 1
    engineer.sign(("targets", 2))
    assert engineer.run("publish") == 0
    client = create_app(services).test_client()
    (artifact,) = _artifacts(services)
    assert artifact.published_ns is not None
    path = f"/releases/targets/agent/{artifact.sha256}.{artifact.filename}"
    _, whole, told = fetch(client, path)
    assert whole == archive.read_bytes()
    assert fetch(client, path, Range="bytes=10-19")[:2] == (206, whole[10:20])
    assert fetch(client, path, If_None_Match=told["ETag"])[0] == 304
    assert fetch(client, "/releases/metadata/timestamp.json")[0] == 200
    assert fetch(client, "/releases/metadata/1.root.json")[0] == 200


def _artifacts(services: Services):
    with services.database.reading() as session:
        return service.list_all(session)


def test_what_is_not_published_or_not_ours_is_not_served(services: Services, engineer: Engineer) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    release(engineer)
    client = create_app(services).test_client()
    (artifact,) = _artifacts(services)
    for path in (
        f"targets/agent/{artifact.sha256}.{artifact.filename}",
        f"targets/agent/{artifact.sha256}",
        "metadata/../keys/timestamp.key",
        "metadata/..%2fkeys%2ftimestamp.key",
        "metadata/timestamp.key",
        "metadata/",
        "targets/",
    ):
        assert fetch(client, f"/releases/{path}")[0] == 404, path


def test_signing_needs_no_fleet_and_a_wrong_passphrase_is_said(
    services: Services, engineer: Engineer, capsys: pytest.CaptureFixture[str]
) -> None:
    engineer.init()
    copy = engineer.folder / "copy"
    shutil.copytree(services.settings.data_dir / "releases" / "staged", copy)
    for role, number in ALL:
        words = ("sign", "--staged", copy, "--key", engineer.key(role, number), *engineer.secret)
        assert engineer.run(*words, at_fleet=False) == 0
    shutil.copytree(copy, services.settings.data_dir / "releases" / "staged", dirs_exist_ok=True)
    assert engineer.run("publish") == 0
    engineer.passphrase.write_text("another passphrase")
    capsys.readouterr()
    assert engineer.run("sign", "--key", engineer.key("root", 0), *engineer.secret) == 1
    assert "is the passphrase right" in capsys.readouterr().err


def test_too_few_keys_the_same_key_twice_and_a_second_root_are_refused(
    engineer: Engineer, capsys: pytest.CaptureFixture[str]
) -> None:
    one = f"{engineer.key('root', 0)}.pub"
    words = ("root", "init", "--root-key", one, "--root-key", one, "--targets-key", one)
    assert engineer.run(*words) == 1
    assert "cannot sign" in capsys.readouterr().err
    assert engineer.init() == 0
    assert engineer.init() == 1
    assert "there is a root already" in capsys.readouterr().err
    assert engineer.run("keys", "make", engineer.key("root", 0), *engineer.secret, at_fleet=False) == 1


def test_bundle_that_is_none_lacks_its_digest_or_comes_twice_is_refused(
    engineer: Engineer, capsys: pytest.CaptureFixture[str]
) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    (engineer.folder / "nothing.tar.xz").write_bytes(b"nothing")
    assert engineer.run("add", engineer.folder / "nothing.tar.xz") == 1
    archive, _ = make_bundle(engineer.folder / "bare", "0.3.0")
    assert engineer.run("add", archive) == 1
    assert "names no tree_sha256" in capsys.readouterr().err
    release(engineer)
    assert engineer.run("add", engineer.folder / f"fengsui-edge-0.2.0-{'x86_64'}.tar.xz") == 1
    assert "is there already" in capsys.readouterr().err


def test_image_is_published_without_signatures_of_ours(services: Services, engineer: Engineer) -> None:
    (engineer.folder / "disk.swu").write_bytes(b"image")
    assert engineer.run("add", engineer.folder / "disk.swu", "--image", "1.0", "--hardware", "x86_64") == 0
    (artifact,) = _artifacts(services)
    assert artifact.published_ns is not None
    assert (artifact.kind, artifact.md5) == ("image", "78805a221a988e79ef3f42d7c5bfd418")
    client = create_app(services).test_client()
    assert fetch(client, f"/releases/targets/image/{artifact.sha256}.disk.swu")[0] == 404


def test_withdrawn_release_is_given_to_nobody_any_more(services: Services, engineer: Engineer) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    release(engineer)
    engineer.sign(*ALL)
    engineer.run("publish")
    assert engineer.run("withdraw", "agent", "0.2.0") == 0
    engineer.sign(*ALL)
    assert engineer.run("publish") == 0
    (artifact,) = _artifacts(services)
    assert artifact.published_ns is None


@pytest.mark.parametrize("change", ["renew", "rotate"])
def test_release_that_waits_for_signatures_is_not_lost_to_another_change(
    services: Services, engineer: Engineer, change: str
) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    release(engineer)
    if change == "renew":
        assert engineer.run("renew") == 0
    else:
        keys = [
            word
            for role in ("root", "targets")
            for number in (0, 1)
            for word in (f"--{role}-key", f"{engineer.key(role, number)}.pub")
        ]
        assert engineer.run("root", "rotate", *keys) == 0
        assert engineer.run("renew") == 0, "nor is the rotation lost to that"
    engineer.sign(*ALL)
    assert engineer.run("publish") == 0
    (artifact,) = _artifacts(services)
    assert artifact.published_ns is not None
    root = service.find_repository(services).newest("root")
    assert root is not None
    assert len(root.signed.roles["root"].keyids) == (3 if change == "renew" else 2)


def test_staged_copy_that_comes_back_too_late_is_refused(
    services: Services, engineer: Engineer, capsys: pytest.CaptureFixture[str]
) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    repository = service.find_repository(services)
    late = engineer.folder / "late"
    release(engineer)
    shutil.copytree(repository.staged, late)
    engineer.sign(*ALL)
    engineer.run("publish")
    release(engineer, "0.3.0")
    engineer.sign(*ALL)
    engineer.run("publish")
    published = (repository.published / "2.agent.json").read_bytes()
    for role, number in ALL[2:]:
        engineer.run("sign", "--staged", late, "--key", engineer.key(role, number), *engineer.secret, at_fleet=False)
    shutil.copy(late / "agent.json", repository.staged / "agent.json")
    capsys.readouterr()
    assert engineer.run("publish") == 1
    assert "version 3 of agent is published already" in capsys.readouterr().err
    assert (repository.published / "2.agent.json").read_bytes() == published


def test_metadata_that_cannot_be_read_are_an_alarm_and_keep_nobody_from_watching(
    services: Services, engineer: Engineer
) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    (service.find_repository(services).published / "1.agent.json").write_bytes(b"")
    Watcher(services).look_further()
    with services.database.reading() as session:
        assert "releases-agent" in own.find_up(session, own.FLEET, own.CERTIFICATE)


async def test_upkeep_keeps_what_the_server_signs_fresh_and_tells_what_people_have_to_sign(
    services: Services, engineer: Engineer, clock: Clock
) -> None:
    engineer.init()
    engineer.sign(*ALL)
    engineer.run("publish")
    repository: Repository = service.find_repository(services)
    first = (repository.published / "timestamp.json").read_bytes()
    clock.advance(3600)
    await Upkeep(services).tend()
    assert (repository.published / "timestamp.json").read_bytes() == first
    clock.advance(2 * 86_400)
    await Upkeep(services).tend()
    assert (repository.published / "timestamp.json").read_bytes() != first
    assert repository.ending(utc_now(clock.now_ns)) == {}
    clock.advance(340 * 86_400)
    assert set(repository.ending(utc_now(clock.now_ns))) == {"root", "targets", "agent", "profiles"}
    Watcher(services).look_further()
    with services.database.reading() as session:
        assert "releases-root" in own.find_up(session, own.FLEET, own.CERTIFICATE)
    repository.stage_anew(utc_now(clock.now_ns))
    engineer.sign(*ALL)
    assert engineer.run("publish") == 0
    assert repository.ending(utc_now(clock.now_ns)) == {}
