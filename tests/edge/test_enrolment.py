"""A gateway that asks for its identity: what it keeps, when it asks again, and what people are told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import cli
from edge.clock import SET_FLOOR_NS, SystemClock
from edge.enrolment import (
    LINK_MOST_S,
    REFUSED_MOST_S,
    WAIT_MOST_S,
    Door,
    EnrolSettings,
    Keeper,
    Pace,
    find_enrolment,
    is_due,
    read_settings,
)
from edge.errors import ConfigurationError, EdgeError
from edge.identity import IdentityError, IdentityFolder
from edge.tools.document import load
from edge.tools.enrol import show_code
from edge.trust import make_context
from provisioning import authority
from provisioning.authority import Issuer
from provisioning.client import DoorError, read_url
from provisioning.codes import make_code
from provisioning.errors import RequestError
from provisioning.keys import make_key
from provisioning.requests import read_request
from provisioning.signing import make_private_key, read_private_key, write_public_key
from tests.provisioning.test_authority import NOW, found
from tests.provisioning.test_keys import no_room
from wire.claim import Issued, Waiting

GATEWAY = "gw-yufu-0001"
NS = 1_000_000_000
NOW_NS = int(NOW.timestamp()) * NS
DAY_NS = 86_400 * NS
PUBLIC = write_public_key(read_private_key(make_private_key())).decode()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return found()


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path)


def give(issuer: Issuer, folder: IdentityFolder, gateway: str = GATEWAY, **changes: Any) -> Issued:
    leaf = authority.issue_gateway(issuer, gateway, read_request(folder.request().encode()), NOW)
    issued = Issued(
        gateway=gateway,
        certificate=authority.to_pem([leaf, *issuer.intermediates]).decode(),
        ca=authority.to_pem([issuer.root]).decode(),
        broker="mqtts://fleet.example:8883",
        command_key=PUBLIC,
        time_ns=NOW_NS,
    )
    return msgspec.structs.replace(issued, **changes)


class Chance(random.Random):
    """Makes every pause none."""

    def random(self) -> float:
        return -0.5


class ScriptedDoor(Door):
    """Answers as it was told, one answer after the other."""

    def __init__(self, *answers: Issued | Waiting | Exception) -> None:
        self._answers: Iterator[Issued | Waiting | Exception] = iter(answers)
        self.asked: list[str] = []

    def enrol(self) -> Issued | Waiting:
        return self._next("")

    def renew(self, gateway: str) -> Issued | Waiting:
        return self._next(gateway)

    def _next(self, asked: str) -> Issued | Waiting:
        self.asked.append(asked)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def clock_at(now_ns: int) -> SystemClock:
    return SystemClock(wall_ns=lambda: now_ns, is_synced=lambda: False)


def keeper(
    folder: IdentityFolder, door: Door, told: list[tuple[str, str]], gateway: str = "", now_ns: int = NOW_NS
) -> Keeper:
    return Keeper(door, folder, clock_at(now_ns), Chance(), lambda *line: told.append(line), gateway)


async def test_it_asks_until_it_has_an_identity_and_says_each_thing_once(
    issuer: Issuer, folder: IdentityFolder
) -> None:
    issued, told = give(issuer, folder), []
    waits, unknown = Waiting(reason="unscanned", retry_s=15), RequestError("claim-unknown", "not known", "compare it")
    door = ScriptedDoor(DoorError("no link", "check it"), waits, waits, unknown, unknown, issued)
    assert await keeper(folder, door, told).enrol() == issued
    assert told == [
        ("enrolment-fails", "no link. check it"),
        ("enrolment-waits", "unscanned"),
        ("enrolment-refused", "claim-unknown: not known. compare it"),
        ("enrolled", f"as {GATEWAY}"),
    ]
    assert folder.read() == issued
    assert folder.defaults()["gateway"] == {"id": GATEWAY}
    assert IdentityFolder(folder.key_file.parent.parent).read() == issued


async def test_a_full_disk_is_said_and_the_identity_kept_once_there_is_room(
    issuer: Issuer, folder: IdentityFolder
) -> None:
    issued, told = give(issuer, folder), []

    class Filling(ScriptedDoor):
        def enrol(self) -> Issued | Waiting:
            answer = super().enrol()
            if len(self.asked) == 1:
                with no_room(), pytest.raises(IdentityError) as refused:
                    folder.keep(issued)
                raise refused.value
            return answer

    assert await keeper(folder, Filling(issued, issued), told).enrol() == issued
    assert told[0][0] == "enrolment-fails"
    assert "cannot be written" in told[0][1]


def test_a_full_disk_while_the_key_is_made_leaves_no_key(folder: IdentityFolder) -> None:
    with no_room(), pytest.raises(IdentityError, match="cannot be written"):
        folder.key()
    assert not folder.key_file.exists()
    assert folder.fingerprint() == folder.fingerprint()
    assert folder.key_file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_cannot_be_read_is_never_made_anew_unasked(folder: IdentityFolder) -> None:
    folder.key()
    folder.key_file.write_bytes(b"garbled")
    with pytest.raises(IdentityError, match="is not a key") as refused:
        folder.key()
    assert "new claim" in refused.value.hint
    assert folder.key_file.read_bytes() == b"garbled"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(
            lambda issued, _: msgspec.structs.replace(issued, certificate="x"), "no certificate", id="garbage"
        ),
        pytest.param(
            lambda issued, issuer: msgspec.structs.replace(
                issued,
                certificate=authority.to_pem(
                    [authority.issue_gateway(issuer, GATEWAY, make_key().public_key(), NOW)]
                ).decode(),
            ),
            "another key",
            id="another key's",
        ),
        pytest.param(
            lambda issued, _: msgspec.structs.replace(issued, gateway="gw-yufu-0009"), "names", id="other name"
        ),
    ],
)
def test_what_is_not_this_gateways_identity_is_not_kept(
    issuer: Issuer, folder: IdentityFolder, spoil: Callable[[Issued, Issuer], Issued], words: str
) -> None:
    good = give(issuer, folder)
    folder.keep(good)
    with pytest.raises(IdentityError, match=words):
        folder.keep(spoil(good, issuer))
    assert folder.read() == good


def test_a_claim_for_another_gateway_than_the_configuration_names_is_said(
    issuer: Issuer, folder: IdentityFolder
) -> None:
    with pytest.raises(IdentityError, match="the claim is for gateway 'gw-yufu-0001'"):
        folder.keep(give(issuer, folder), "gw-yufu-0002")
    assert folder.read() is None


@pytest.mark.parametrize("damage", ["identity.json", "certificate.pem", "key.pem"])
def test_an_identity_that_is_not_whole_is_asked_for_again(issuer: Issuer, folder: IdentityFolder, damage: str) -> None:
    folder.keep(give(issuer, folder))
    (folder.key_file.parent / damage).unlink()
    assert folder.read() is None


@pytest.mark.parametrize("damage", ["identity.json", "certificate.pem", "ca.pem", "command.pub"])
def test_an_identity_that_is_garbled_is_asked_for_again(issuer: Issuer, folder: IdentityFolder, damage: str) -> None:
    issued = give(issuer, folder)
    folder.keep(issued)
    (folder.key_file.parent / damage).write_bytes(b"\xff")
    assert folder.read() is None
    folder.keep(issued)
    assert folder.read() == issued


def test_without_room_for_a_local_code_the_agent_is_not_kept_from_its_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "enrol.toml").write_text('url = "https://fleet.example"\n')
    enrolment = find_enrolment(tmp_path / "gateway.toml", None, tmp_path)
    assert enrolment is not None
    with no_room(8):
        show_code(enrolment)
    assert "no code yet" in capsys.readouterr().err
    show_code(enrolment)
    assert enrolment.identity.fingerprint() in capsys.readouterr().err


@pytest.mark.parametrize(
    "now_ns",
    [
        pytest.param(NOW_NS + 11 * DAY_NS, id="after ten days"),
        pytest.param(NOW_NS + 100 * DAY_NS, id="long expired"),
        pytest.param(NOW_NS + 365 * DAY_NS, id="a clock a year ahead"),
    ],
)
async def test_it_renews_by_the_same_key(issuer: Issuer, folder: IdentityFolder, now_ns: int) -> None:
    folder.keep(give(issuer, folder))
    key, later = folder.key_file.read_bytes(), give(issuer, folder, time_ns=NOW_NS + DAY_NS)
    door = ScriptedDoor(DoorError("no link"), later, give(issuer, folder, time_ns=now_ns + DAY_NS))
    taken = await asyncio.wait_for(_first(folder, door, now_ns), 20)
    assert taken == later
    assert door.asked[:2] == [GATEWAY, GATEWAY]
    assert folder.key_file.read_bytes() == key


async def _first(folder: IdentityFolder, door: ScriptedDoor, now_ns: int) -> Issued:
    taken: asyncio.Queue[Issued] = asyncio.Queue()
    task = asyncio.create_task(keeper(folder, door, [], now_ns=now_ns).run(taken.put_nowait, lambda: True))
    try:
        return await taken.get()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_renewal_is_due_when_a_third_of_the_time_is_over(issuer: Issuer, folder: IdentityFolder) -> None:
    issued = give(issuer, folder)
    assert [is_due(issued, NOW_NS + days * DAY_NS) for days in (-365, 0, 9, 10, 30)] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("wall_ns", [0, NOW_NS - 365 * DAY_NS])
def test_a_clock_behind_what_the_fleet_has_told_counts_for_nothing(
    issuer: Issuer, folder: IdentityFolder, wall_ns: int
) -> None:
    issued = give(issuer, folder)
    machine = SystemClock(wall_ns=lambda: wall_ns, mono_ns=iter(range(0, 100 * DAY_NS, 10 * DAY_NS)).__next__)
    slow = Keeper(ScriptedDoor(), folder, machine, Chance(), lambda *_: None)
    assert slow._newest_ns(issued) >= NOW_NS + 10 * DAY_NS


def test_the_newest_time_is_the_machines_or_the_fleets() -> None:
    machine = SystemClock(wall_ns=lambda: 0, mono_ns=lambda: 5)
    assert machine.newest_at(5) == 0
    machine.tell(NOW_NS)
    assert machine.newest_at(5) == NOW_NS
    assert clock_at(NOW_NS).newest_at(0) < NOW_NS + DAY_NS


def test_pauses_grow_within_bounds_and_are_spread() -> None:
    pace, spread = Pace(random.Random(1)), set()
    link = [pace.after(DoorError("x")) for _ in range(20)]
    refused = [pace.after(RequestError("x", "y")) for _ in range(20)]
    assert link[0] < 5 < 30 < max(link) <= LINK_MOST_S * 1.5
    assert refused[0] < 100 < 400 < max(refused) <= REFUSED_MOST_S * 1.5
    for retry_s in (-1.0, 0.0, 15.0, 1e9):
        pause_s = pace.after(Waiting(reason="x", retry_s=retry_s))
        assert 0.5 <= pause_s <= WAIT_MOST_S * 1.5
        spread.add(pause_s)
    assert pace.after(DoorError("x")) < 5
    assert len(spread) == 4


def test_a_local_code_is_made_once_and_kept_close(folder: IdentityFolder) -> None:
    assert folder.local_code().replace("-", "") == folder.local_code()
    assert (folder.key_file.parent / "local-code").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "url"),
        ('url = "http://fleet.example"', "would show the claim"),
        ('url = "fleet"', "not the fleet's address"),
        ('url = "https://fleet.example"\nclaim = "1234"', "not a claim code"),
        ('url = "https://fleet.example"\ncolour = 1', "colour"),
        ("url = ", "Invalid value"),
        ('url = "https://fleet.example:99999"', "[Pp]ort"),
    ],
)
def test_a_wrong_enrol_toml_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "enrol.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=words) as refused:
        read_settings(tmp_path / "enrol.toml")
    assert refused.value.hint
    assert cli.main(["enrol", str(tmp_path / "enrol.toml"), "--data", str(tmp_path)]) == cli.EXIT_WRONG_USE


def test_an_enrol_toml_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert find_enrolment(tmp_path / "gateway.toml", None, tmp_path) is None
    with pytest.raises(EdgeError, match="cannot be read"):
        find_enrolment(tmp_path / "gateway.toml", tmp_path / "absent.toml", tmp_path)


def test_claims_go_unencrypted_to_this_machine_alone() -> None:
    for url in ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080", "https://fleet.example"):
        assert read_url(url).hostname
    with pytest.raises(ValueError, match="on the way"):
        read_url("http://10.0.0.1")


def test_a_configuration_beside_an_enrol_toml_need_not_say_who_it_is(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[health]\nlisten = ""\n')
    with pytest.raises(ConfigurationError, match="missing"):
        load(config)
    (tmp_path / "enrol.toml").write_text(f'url = "https://fleet.example"\nclaim = "{make_code()}"\n')
    boot, _ = load(config)
    assert boot.gateway.id == "not-yet-enrolled"
    assert cli.main(["check", str(config)]) == 0


def test_the_file_goes_before_the_identity(tmp_path: Path, issuer: Issuer, folder: IdentityFolder) -> None:
    folder.keep(give(issuer, folder))
    config = tmp_path / "gateway.toml"
    config.write_text('[uplink]\nurl = "mqtts://other.example"\n')
    boot, _ = load(config, folder.defaults())
    assert boot.uplink.host == "other.example"
    assert boot.gateway.id == GATEWAY
    assert (boot.uplink.cert_file, boot.uplink.key_file) == (str(folder.cert_file), str(folder.key_file))
    config.write_text("uplink = 3\n")
    with pytest.raises(ConfigurationError, match="uplink"):
        load(config, folder.defaults())


def test_half_a_pair_of_certificate_and_key_is_a_mistake(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f'[gateway]\nid = "{GATEWAY}"\n[uplink]\nurl = "mqtts://x"\ncert_file = "a.pem"\n')
    with pytest.raises(ConfigurationError, match="go together"):
        load(config)


def test_without_a_certificate_the_uplink_says_that_and_with_a_synced_clock_dates_count(
    issuer: Issuer, folder: IdentityFolder
) -> None:
    with pytest.raises(FileNotFoundError, match="no certificate yet"):
        make_context(None, folder.cert_file, folder.key_file, is_synced=True, floor_ns=0)
    folder.keep(give(issuer, folder))
    files = folder.ca_file, folder.cert_file, folder.key_file
    strict, lenient = (make_context(*files, is_synced=synced, floor_ns=SET_FLOOR_NS) for synced in (True, False))
    assert not strict.verify_flags & 0x200000
    assert lenient.verify_flags & 0x200000
    assert lenient.check_hostname
    assert EnrolSettings(url="https://x").claim == ""
