"""A technician's laptop from kit to gateway and back, over a stick, without a link in between."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from edge.cli import main as edge
from edge.identity import IdentityFolder
from edge.tools.document import load
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.configs import service as configs
from provisioning.cli import main as provision
from provisioning.client import DoorError
from provisioning.codes import hash_code
from provisioning.errors import RequestError
from provisioning.kit.book import Book
from provisioning.kit.documents import Bundle, read_bundle
from provisioning.kit.file import KitFile, Secrets, check_kit, open_secrets, read_kit_file, write_kit
from provisioning.kit.fleet import BATCH, Fleet, sync
from provisioning.kit.usb import find_bundles, read_answers, read_bundle_file
from tests.edge.instruments import tcp_instrument
from tests.edge.test_local import wait_until
from tests.fleet.conftest import Clock
from tests.fleet.identity import enrol, found_authority
from tests.fleet.kits import GATEWAY, KIT, LAPTOP_KEY, furnish, headers, make_parts
from tests.servers import free_port
from wire.claim import Issued

PASSPHRASE = "four words of mine"
GOOD = 'fengsui_edge_scans_total{group="tank-01.fast",state="good"}'
SITE = ("--gateway", GATEWAY, "--set", "port=1502", "--lat", "30.1", "--lon", "120.1", "--by", "李工")


class Laptop:
    """A laptop with a kit, a stick, and a gateway whose enrol.toml names the fleet."""

    def __init__(self, folder: Path, anchor: str) -> None:
        self.kit, self.book, self.stick = folder / "kit.fsk", folder / "book.json", folder / "stick"
        self.config, self.data = folder / "gateway" / "gateway.toml", folder / "data"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE)
        self.stick.mkdir()
        self.config.parent.mkdir()
        self.config.write_text("[spool]\nmax_bytes = 10000000\n")
        (self.config.parent / "enrol.toml").write_text(f'url = "https://fleet.example"\nca_sha256 = "{anchor}"\n')

    def run(self, *words: object) -> int:
        more = ("--book", self.book, "--passphrase-file", self.passphrase, "--language", "en", "--json")
        return provision([str(word) for word in (*words, *more)])

    def plug_in(self) -> tuple[int, dict[str, Any]]:
        status = edge(["usb", str(self.stick), "--config", str(self.config), "--data", str(self.data), "--json"])
        return status, json.loads((self.stick / f"{GATEWAY}.answer.json").read_text("utf-8"))


@pytest.fixture
def services(services: Services) -> Services:
    told = msgspec.structs.replace(services.settings, gateways_broker_url="mqtts://fleet.example:8883")
    return replace(services, settings=told)


@pytest.fixture
def client(services: Services, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    found_authority(services)
    monkeypatch.setattr("time.time_ns", services.clock)
    return create_app(services).test_client()


@pytest.fixture
def token(services: Services) -> str:
    return furnish(services)


@pytest.fixture
def code(services: Services, client: FlaskClient, token: str, tmp_path: Path) -> str:
    made, grant, content, anchor = make_parts(services, client, token)
    secrets = Secrets(codes={hash_code(made): made}, laptop_key=LAPTOP_KEY)
    folder = tmp_path / "laptop"
    folder.mkdir()
    write_kit(folder / "kit.fsk", anchor, grant, content, secrets, PASSPHRASE)
    return made


@pytest.fixture
def laptop(code: str, tmp_path: Path) -> Laptop:
    assert code
    anchor = read_kit_file(tmp_path / "laptop" / "kit.fsk").anchor
    return Laptop(tmp_path / "laptop", anchor)


class WireTo(Fleet):
    """The fleet's API over a link that ends after so many questions."""

    def __init__(self, client: FlaskClient, token: str, holds: int) -> None:
        super().__init__("http://localhost", token)
        self._client, self._secret, self._holds = client, token, holds

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        self._holds -= 1
        if self._holds < 0:
            raise DoorError("the link is gone")
        answer = self._client.post(path, json=body, headers=headers(self._secret))
        assert answer.status_code == 200, answer.json
        return dict(answer.json)


def test_from_kit_over_stick_to_gateway_and_back(
    services: Services, client: FlaskClient, token: str, laptop: Laptop, code: str
) -> None:
    assert laptop.run("kit", "open", laptop.kit) == 0
    assert laptop.run("site", laptop.kit, *SITE) == 0
    assert laptop.run("usb", "make", laptop.kit, "--gateway", GATEWAY, "--out", laptop.stick) == 0
    status, answer = laptop.plug_in()
    assert (status, answer["result"], answer["gateway"]) == (0, "taken", GATEWAY)
    identity = IdentityFolder(laptop.data)
    boot, _ = load(laptop.config, identity.defaults())
    assert (boot.gateway.id, boot.gateway.site, boot.uplink.url) == (GATEWAY, "yufu", "mqtts://fleet.example:8883")
    given = identity.on_site()
    assert given is not None
    assert given.order.claim == code
    assert given.order.config["bus"][0]["url"] == "tcp://127.0.0.1:1502"
    assert laptop.run("usb", "read", laptop.kit, laptop.stick) == 0
    book = Book(laptop.book)
    assert [line.kind for line in book.lines()] == ["site", "bundle", "usb-answer"]
    assert sync(book, WireTo(client, token, 5), KIT, services.clock, lambda *_: None) == 3
    assert sync(book, WireTo(client, token, 5), KIT, services.clock, lambda *_: None) == 0
    assert isinstance(enrol(client, code), Issued)
    with services.database.reading() as session:
        desired = configs.latest(session, GATEWAY)
        assert desired is not None
        assert desired.config == given.order.config
    assert laptop.run("report", "--gateway", GATEWAY, "--out", laptop.stick / "report.txt") == 0
    assert "李工" in (laptop.stick / "report.txt").read_text("utf-8")
    assert code not in laptop.book.read_text("utf-8")


def test_a_link_that_ends_loses_no_line_and_doubles_none(
    services: Services, client: FlaskClient, token: str, laptop: Laptop
) -> None:
    book = Book(laptop.book)
    for _ in range(BATCH + 5):
        book.add(KIT, "scan", GATEWAY, "李工", services.clock(), {})
    with pytest.raises(DoorError):
        sync(book, WireTo(client, token, 1), KIT, services.clock, lambda *_: None)
    assert len(book.waiting()) == 5
    assert sync(book, WireTo(client, token, 1), KIT, services.clock, lambda *_: None) == 5
    assert len(client.get(f"/api/kits/{KIT}/entries", headers=headers(token)).json) == BATCH + 5


def prepare(laptop: Laptop) -> Path:
    assert laptop.run("site", laptop.kit, *SITE) == 0
    assert laptop.run("usb", "make", laptop.kit, "--gateway", GATEWAY, "--out", laptop.stick) == 0
    return laptop.stick / f"{GATEWAY}.fsb"


def test_a_bundle_is_taken_once_and_an_older_one_never(laptop: Laptop, clock: Clock) -> None:
    older = prepare(laptop).read_bytes()
    clock.advance(5)
    path = prepare(laptop)
    assert laptop.plug_in()[1]["result"] == "taken"
    assert laptop.plug_in()[1]["result"] == "known"
    path.write_bytes(older)
    status, answer = laptop.plug_in()
    assert (status, answer["result"]) == (1, "replayed")


def test_a_gateway_of_another_fleet_takes_nothing(laptop: Laptop) -> None:
    prepare(laptop)
    (laptop.config.parent / "enrol.toml").write_text(f'url = "https://fleet.example"\nca_sha256 = "{"ab" * 32}"\n')
    assert laptop.plug_in()[1]["result"] == "foreign"
    assert IdentityFolder(laptop.data).on_site() is None


def test_another_gateway_takes_nothing(laptop: Laptop) -> None:
    prepare(laptop)
    laptop.config.write_text('[gateway]\nid = "gw-yufu-0009"\n')
    status = edge(["usb", str(laptop.stick), "--config", str(laptop.config), "--data", str(laptop.data)])
    assert status == 1
    assert IdentityFolder(laptop.data).on_site() is None


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_bundle_cut_anywhere_is_refused_and_a_changed_octet_changes_nothing(laptop: Laptop, clock: Clock) -> None:
    path = prepare(laptop)
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 25):
        path.write_bytes(whole[:place])
        assert laptop.plug_in()[0] == 1
    bundle = msgspec.json.decode(whole, type=Bundle)
    anchor = read_kit_file(laptop.kit).anchor
    read = read_bundle(bundle, anchor, GATEWAY, clock.now_ns)
    refused = 0
    for place in range(0, len(whole), len(whole) // 100):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert read_bundle(read_bundle_file(path), anchor, GATEWAY, clock.now_ns) == read
        except RequestError:
            refused += 1
    assert refused > 80


def test_an_expired_kit_makes_nothing_and_its_bundle_is_refused_by_a_held_clock(
    laptop: Laptop, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(laptop)
    clock.advance(8 * 86_400)
    monkeypatch.setattr("edge.tools.usb.newest_ns", lambda _clock: clock.now_ns)
    assert laptop.plug_in()[1]["result"] == "expired"
    assert laptop.run("usb", "make", laptop.kit, "--gateway", GATEWAY, "--out", laptop.stick) == 1
    assert "has expired" in capsys.readouterr().err


def test_a_wrong_passphrase_opens_nothing_and_is_said_in_chinese(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop.passphrase.write_text("another passphrase")
    words = ["kit", "open", str(laptop.kit), "--book", str(laptop.book), "--language", "zh"]
    assert provision([*words, "--passphrase-file", str(laptop.passphrase)]) == 1
    assert "口令打不开" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_changed_octet_of_a_kit_is_refused_or_changes_nothing(laptop: Laptop, services: Services) -> None:
    """A signature or the passphrase shows each but slack of the encoding: spare bits of base64, lines of PEM."""
    whole = laptop.kit.read_bytes()
    file = msgspec.json.decode(whole, type=KitFile)
    kit, secrets = check_kit(file, services.clock()), open_secrets(file, PASSPHRASE)
    assert laptop.kit.stat().st_mode & 0o777 == 0o600
    refused = 0
    for place in range(0, len(whole), len(whole) // 60):
        laptop.kit.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if laptop.run("kit", "open", laptop.kit) == 1:
            refused += 1
            continue
        opened = read_kit_file(laptop.kit)
        again = check_kit(opened, services.clock())
        assert (again.grant, again.content, open_secrets(opened, PASSPHRASE)) == (kit.grant, kit.content, secrets)
    assert refused > 50


def test_a_kit_that_names_another_root_in_its_file_is_refused(laptop: Laptop) -> None:
    file = read_kit_file(laptop.kit)
    laptop.kit.write_bytes(msgspec.json.encode(msgspec.structs.replace(file, anchor="ab" * 32)))
    for more in ((), ("--ca-sha256", file.anchor)):
        assert laptop.run("kit", "open", laptop.kit, *more) == 1


def test_a_kit_of_another_fleet_is_refused(laptop: Laptop, services: Services) -> None:
    assert laptop.run("kit", "open", laptop.kit, "--ca-sha256", "ab" * 32) == 1
    assert check_kit(read_kit_file(laptop.kit), services.clock()).grant.kit == KIT


@pytest.mark.parametrize("wrong", ["port=no", "port", "none=1"])
def test_a_wrong_variable_is_told_before_anything_is_written(laptop: Laptop, wrong: str) -> None:
    assert laptop.run("site", laptop.kit, "--gateway", GATEWAY, "--set", wrong) == 1
    assert Book(laptop.book).lines() == []


@pytest.fixture
def address(client: FlaskClient) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, client.application, threaded=True)
    serving = Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_kit_is_fetched_and_its_book_brought_back_over_http(
    address: str, token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop = Laptop(tmp_path, "ab" * 32)
    kit, listed, secret = tmp_path / "new.fsk", tmp_path / "list.csv", tmp_path / "token"
    listed.write_text(f"gateway,title,site,template\n{GATEWAY},罐区,,tank\n", "utf-8")
    secret.write_text(token)
    fleet = ("--url", address, "--token-file", secret)
    assert laptop.run("kit", "make", *fleet, "--site", "yufu", "--list", listed, "--spare", 1, "--out", kit) == 0
    made = check_kit(read_kit_file(kit), 0)
    assert [slot.gateway for slot in made.grant.slots] == [GATEWAY, ""]
    assert laptop.run("site", kit, *SITE) == 0
    assert laptop.run("site", kit, "--gateway", "gw-yufu-0002", "--site", "yufu") == 0
    assert laptop.run("site", kit, "--gateway", "gw-yufu-0003", "--site", "yufu") == 1
    assert "no claim for 'gw-yufu-0003'" in capsys.readouterr().err
    for count in (2, 0):
        assert laptop.run("sync", kit, *fleet) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"synced": count}
    secret.write_text("fst_none")
    assert laptop.run("site", kit, *SITE) == 0
    assert laptop.run("sync", kit, *fleet) == 1
    assert "sign in first" in capsys.readouterr().err
    assert [line.kind for line in Book(laptop.book).waiting()] == ["site"]


def test_the_agent_acquires_what_the_stick_brought_with_no_fleet_in_reach(laptop: Laptop) -> None:
    health, plc = free_port(), free_port()
    laptop.config.write_text(f'[health]\nlisten = "127.0.0.1:{health}"\n')
    (laptop.config.parent / "enrol.toml").write_text(
        (laptop.config.parent / "enrol.toml").read_text().replace("fleet.example", f"127.0.0.1:{free_port()}")
    )
    laptop.run("site", laptop.kit, "--gateway", GATEWAY, "--set", f"port={plc}")
    laptop.run("usb", "make", laptop.kit, "--gateway", GATEWAY, "--out", laptop.stick)
    assert laptop.plug_in()[1]["result"] == "taken"
    words = [sys.executable, "-m", "edge.cli", "run", "--config", laptop.config, "--data", laptop.data]
    with tcp_instrument(plc, 1, [42] * 4), subprocess.Popen(words) as agent:
        try:
            wait_until(lambda: is_acquiring(health))
        finally:
            agent.terminate()


def is_acquiring(port: int) -> bool:
    try:
        shown = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:
        return False
    return any(line.startswith(GOOD) and not line.endswith(" 0.0") for line in shown.splitlines())


def test_links_and_devices_on_a_stick_are_no_bundles(tmp_path: Path) -> None:
    (tmp_path / "endless.fsb").symlink_to("/dev/zero")
    (tmp_path / "folder.fsb").mkdir()
    (tmp_path / "endless.answer.json").symlink_to("/dev/zero")
    assert find_bundles(tmp_path) == read_answers(tmp_path) == []
