"""Alarms of rates, certificates and destinations: of devices, and of no gateway at all. On both databases."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet.alarms import certificates, destinations, operations, own, rates
from fleet.alarms.models import Alarm, AlarmEvent, DeviceRate
from fleet.alarms.rates import Count, Mark
from fleet.bootstrap import Services
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.relay import service as relay
from fleet.sites import service as sites
from fleet.watcher import Watcher
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from wire.alarm import AlarmRequest, Standing, State, state_of
from wire.health import GroupHealth, Health
from wire.record import Lane

NS = 1_000_000_000
DAY_NS = 86_400 * NS


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


class Devices:
    """The counts of a gateway's devices, told by its health every ten seconds."""

    def __init__(self, scene: Scene, clock: Clock) -> None:
        self.scene, self.clock = scene, clock
        self.uptime_s = 0.0
        self.due: dict[str, int] = {}
        self.good: dict[str, int] = {}

    def run(self, seconds: int, shares: Mapping[str, float]) -> None:
        """Let time go by; of a reading due each ten seconds, this share of each device comes well."""
        for _ in range(seconds // 10):
            self.clock.advance(10)
            self.uptime_s += 10
            for device, share in shares.items():
                self.due[device] = self.due.get(device, 0) + 10
                self.good[device] = self.good.get(device, 0) + int(10 * share)
            self.tell(shares)

    def tell(self, devices: Mapping[str, float]) -> None:
        groups = {f"{name}.values": GroupHealth(due=self.due[name], good=self.good[name]) for name in devices}
        health = Health(
            release="1", uptime_s=self.uptime_s, clock="synced", lanes={}, groups=groups, buses={}, outputs={}
        )
        with self.scene.services.database.writing() as session:
            gateways.note_health(session.get_one(Gateway, edge.GATEWAY), health, self.clock())
            rates.watch(session, self.clock())

    def restart(self) -> None:
        self.uptime_s, self.due, self.good = 0.0, {}, {}


@pytest.fixture
def devices(scene: Scene, clock: Clock) -> Devices:
    return Devices(scene, clock)


def journal(scene: Scene) -> list[tuple[str, str, str, str]]:
    columns = (AlarmEvent.gateway, AlarmEvent.alarm, AlarmEvent.kind, AlarmEvent.detail)
    return [tuple(row) for row in scene.rows(sa.select(*columns).order_by(AlarmEvent.id))]


def active(scene: Scene) -> list[tuple[str, str]]:
    query = sa.select(Alarm.gateway, Alarm.name).where(Alarm.active).order_by(Alarm.name)
    return [tuple(row) for row in scene.rows(query)]


TANK = (edge.GATEWAY, "fleet:device-rate:tank")


# Rates.


def test_a_device_that_delivers_less_than_half_is_an_alarm_until_four_fifths_come_again(
    scene: Scene, devices: Devices
) -> None:
    devices.run(610, {"tank": 1.0})
    devices.run(600, {"tank": 0.5})
    assert active(scene) == [], "half of what was due is just enough"
    devices.run(600, {"tank": 0.4})
    assert active(scene) == [TANK]
    devices.run(1200, {"tank": 0.7})
    assert active(scene) == [TANK], "more, but not well"
    devices.run(600, {"tank": 0.8})
    assert active(scene) == []
    assert journal(scene) == [(*TANK, "raised", "240 / 600"), (*TANK, "cleared", "")]


def test_nothing_is_judged_before_a_stretch_has_ended(scene: Scene, devices: Devices) -> None:
    devices.run(600, {"tank": 0.0})
    assert active(scene) == []
    devices.run(10, {"tank": 0.0})
    assert active(scene) == [TANK]


def test_a_restart_of_the_agent_begins_a_new_stretch(scene: Scene, devices: Devices) -> None:
    devices.run(600, {"tank": 0.0})
    devices.restart()
    devices.run(600, {"tank": 0.0})
    assert active(scene) == []
    devices.run(10, {"tank": 0.0})
    assert active(scene) == [TANK]


def test_a_silent_gateway_leaves_its_devices_as_they_are(scene: Scene, devices: Devices, clock: Clock) -> None:
    devices.run(1210, {"tank": 0.0})
    clock.advance(7200)
    with scene.services.database.writing() as session:
        rates.watch(session, clock())
    assert active(scene) == [TANK]
    devices.uptime_s += 7200
    devices.due["tank"] += 7200
    devices.good["tank"] += 7200
    devices.run(10, {"tank": 1.0})
    assert active(scene) == [], "it read on while nobody heard it"


def test_a_device_that_is_no_longer_configured_has_no_alarm(scene: Scene, devices: Devices) -> None:
    devices.run(1210, {"tank": 0.0, "pump": 1.0})
    devices.run(10, {"pump": 1.0})
    assert active(scene) == []
    assert scene.count(DeviceRate) == 1


def test_a_site_of_several_devices_is_judged_by_all_of_them(scene: Scene, devices: Devices) -> None:
    with scene.services.database.writing() as session:
        sites.add(session, "yufu-chem", "鱼复化工", "chemical", 29.6, 106.7)
        session.get_one(Gateway, edge.GATEWAY).site_key = "yufu-chem"
    devices.run(1210, {"tank": 0.0, "pump": 1.0})
    assert active(scene) == [TANK], "half of the site's is just enough"
    devices.run(600, {"tank": 0.0, "pump": 0.9})
    assert active(scene) == [TANK, ("", "fleet:site-rate:yufu-chem")]
    devices.run(600, {"tank": 1.0, "pump": 0.9})
    assert active(scene) == []


def test_a_site_whose_gateways_are_silent_stays_as_it_is_and_one_without_any_has_no_alarm(
    scene: Scene, devices: Devices, clock: Clock
) -> None:
    with scene.services.database.writing() as session:
        sites.add(session, "yufu-chem", "鱼复化工", "chemical", 29.6, 106.7)
        session.get_one(Gateway, edge.GATEWAY).site_key = "yufu-chem"
    devices.run(1210, {"tank": 0.0, "pump": 0.0})
    clock.advance(3600)
    with scene.services.database.writing() as session:
        rates.watch(session, clock())
    assert ("", "fleet:site-rate:yufu-chem") in active(scene)
    with scene.services.database.writing() as session:
        session.get_one(Gateway, edge.GATEWAY).site_key = None
        session.flush()
        rates.watch(session, clock())
    assert ("", "fleet:site-rate:yufu-chem") not in active(scene)


@pytest.mark.parametrize(
    ("seen", "started_s", "came"),
    [
        (Mark(600 * NS, Count(106, 60)), 0, Count(6, 10)),
        (Mark(599 * NS, Count(160, 60)), 0, None),
        (Mark(600 * NS, Count(105, 60)), 0, None),  # too few were due to say anything
        (Mark(600 * NS, Count(160, 49)), 0, None),  # a count that goes backwards
        (Mark(-NS, Count(160, 60)), -2, None),  # and a clock
        (Mark(9000 * NS, Count(160, 60)), 1, None),  # the agent began anew since
    ],
)
def test_when_a_stretch_ends(seen: Mark, started_s: int, came: Count | None) -> None:
    assert rates.measure(Mark(0, Count(100, 50)), seen, started_s * NS)[1] == came


def test_groups_of_a_device_are_added_up_and_what_is_no_count_is_left_out() -> None:
    groups = {"tank.a": {"due": 1, "good": 1}, "tank.b": {"due": 2, "good": 0}, "x.y": {"due": None}}
    assert rates.count_devices(groups) == {"tank": Count(3, 1)}


# Certificates.


def write_certificate(path: Path, ends_ns: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker.example")])
    ends = datetime.datetime.fromtimestamp(ends_ns // NS, datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(ends - datetime.timedelta(days=90)).not_valid_after(ends)
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def test_a_certificate_near_its_end_is_an_alarm_until_it_is_renewed(scene: Scene, clock: Clock) -> None:
    settings = msgspec.structs.replace(scene.services.settings, certificates=("broker.pem",))
    watcher = Watcher(Services(settings, scene.services.database, clock, scene.services.live))
    file = settings.data_dir / "broker.pem"
    write_certificate(file, clock() + 14 * DAY_NS)
    watcher.look_further()
    assert active(scene) == []
    clock.advance(1)
    watcher.look_further()
    assert active(scene) == [("", "fleet:certificate:broker.pem")]
    assert journal(scene)[0][3] == "2026-10-05T14:13:20Z"
    file.write_text("no certificate")
    watcher.look_further()
    assert active(scene) == [("", "fleet:certificate:broker.pem")]
    write_certificate(file, clock() + 90 * DAY_NS)
    watcher.look_further()
    assert active(scene) == []


def test_a_file_of_certificates_that_cannot_be_read_is_an_alarm_that_says_why(tmp_path: Path) -> None:
    found = certificates.judge(certificates.read(tmp_path, ["gone.pem"]), START_NS)
    assert "gone.pem" in found["gone.pem"]


def test_of_a_chain_the_one_that_ends_first_counts(tmp_path: Path) -> None:
    for number, days in enumerate((200, 10)):
        write_certificate(tmp_path / f"{number}.pem", START_NS + days * DAY_NS)
    chain = "".join((tmp_path / f"{number}.pem").read_text() for number in range(2))
    (tmp_path / "chain.pem").write_text(chain)
    (found,) = certificates.read(tmp_path, ["chain.pem"])
    assert found.not_after_ns == START_NS + 10 * DAY_NS


# Destinations.


def test_a_destination_is_behind_once_its_oldest_record_waits_for_ten_minutes(scene: Scene, clock: Clock) -> None:
    watcher = Watcher(scene.services)
    with scene.services.database.writing() as session:
        destination = relay.add(session, "district", "http-json", "https://platform.example/", clock()).id
    scene.send(1, edge.alarm(1, "raised"), lane=Lane.ALARMS)
    clock.advance(599)
    watcher.look_further()
    assert active(scene) == [(edge.GATEWAY, edge.alarm(1, "raised").alarm)]
    clock.advance(1)
    watcher.look_further()
    assert ("", "fleet:destination-behind:district") in active(scene)
    assert journal(scene)[-1][3] == "600 s"
    with scene.services.database.writing() as session:
        relay.note_delivered(session, destination, Lane.ALARMS, 1, 1, clock())
    watcher.look_further()
    assert ("", "fleet:destination-behind:district") not in active(scene)


def test_a_destination_that_is_no_longer_served_has_no_alarm(scene: Scene, clock: Clock) -> None:
    watcher = Watcher(scene.services)
    with scene.services.database.writing() as session:
        relay.add(session, "district", "http-json", "https://platform.example/", clock())
    scene.send(1, edge.alarm(1, "raised"), lane=Lane.ALARMS)
    clock.advance(600)
    watcher.look_further()
    with scene.services.database.writing() as session:
        relay.set_enabled(session, "district", False)
    watcher.look_further()
    assert ("", "fleet:destination-behind:district") not in active(scene)


def test_a_new_destination_has_ten_minutes_for_what_is_kept(scene: Scene, clock: Clock) -> None:
    scene.send(1, edge.alarm(1, "raised"), lane=Lane.ALARMS)
    clock.advance(86_400)
    with scene.services.database.writing() as session:
        relay.add(session, "district", "http-json", "https://platform.example/", clock())
        assert relay.waiting_since(session) == {"district": clock()}


@pytest.mark.parametrize(
    ("waited_s", "up", "is_behind"),
    [(600, (), True), (599, (), False), (60, ("d",), True), (59, ("d",), False), (-5, ("d",), False)],
)
def test_when_a_destination_is_behind(waited_s: int, up: tuple[str, ...], is_behind: bool) -> None:
    assert bool(destinations.judge({"d": START_NS}, up, START_NS + waited_s * NS)) == is_behind


# What they have in common with all others.


def test_an_alarm_of_no_gateway_is_acknowledged_and_shelved_by_the_fleet_at_once(scene: Scene, clock: Clock) -> None:
    name = own.BEHIND.name_for("district")
    with scene.services.database.writing() as session:
        own.raise_alarm(session, own.FLEET, own.BEHIND, "700 s", clock(), "district")

    def ask(action: str, **more: float) -> State:
        request = AlarmRequest(alarm=name, **more)
        with scene.services.database.writing() as session:
            assert operations.operate(session, no_key, own.FLEET, action, request, "王", clock()) == ""
        with scene.services.database.reading() as session:
            return state_of(Standing(session.get_one(Alarm, (own.FLEET, name)).standing))

    def no_key() -> bytes:
        raise AssertionError("nothing is signed for the fleet itself")

    assert ask("acknowledge") is State.ACKNOWLEDGED
    assert ask("shelve", minutes=5) is State.SHELVED
    clock.advance(300)
    with scene.services.database.writing() as session:
        own.end_shelvings(session, clock())
        own.settle(session, own.FLEET, own.BEHIND, {}, clock())
    assert [kind for _, _, kind, _ in journal(scene)] == ["raised", "acknowledged", "shelved", "unshelved", "cleared"]


# A clock that goes back.


def test_a_gateway_that_falls_silent_after_the_clock_went_back_is_noticed(scene: Scene, clock: Clock) -> None:
    clock.advance(86_400)
    watcher = Watcher(scene.services)
    scene.hello()
    watcher.look()
    clock.advance(-86_400)
    for _ in range(45):
        watcher.look()
        assert active(scene) == [], "it may yet speak"
        clock.advance(2)
    watcher.look()
    assert active(scene) == [(edge.GATEWAY, "fleet:silent")]


def test_a_shelving_does_not_outlast_what_was_asked_for_by_a_clock_that_goes_back(scene: Scene, clock: Clock) -> None:
    with scene.services.database.writing() as session:
        own.raise_alarm(session, edge.GATEWAY, own.CLONE, "", clock())
        alarm = session.get_one(Alarm, (edge.GATEWAY, own.CLONE.name))
        own.operate(session, alarm, "shelve", AlarmRequest(alarm=alarm.name, minutes=60), "王", clock())
    clock.advance(-86_400)
    with scene.services.database.writing() as session:
        own.end_shelvings(session, clock())
        alarm = session.get_one(Alarm, (edge.GATEWAY, own.CLONE.name))
        assert state_of(Standing(alarm.standing)) is State.UNACKNOWLEDGED


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fleet:silent", (own.SILENT, "")),
        ("fleet:device-rate:tank", (own.DEVICE_RATE, "tank")),
        ("fleet:certificate:tls/a:b.pem", (own.CERTIFICATE, "tls/a:b.pem")),
        ("fleet:device-rate", None),
        ("fleet:device-rate:", None),
        ("fleet:silent:tank", None),
        ("fleet:combined", None),
        ("tank.level:silent", None),
    ],
)
def test_which_names_are_the_fleets_own(name: str, found: object) -> None:
    assert own.find(name) == found
