"""Chains: what a quake sets going, once, whoever asks how often; and what is told of it. On both databases."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.alarms.models import Alarm
from fleet.app import create_app
from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.chains import answers, inspections, rulebook, service, showing
from fleet.chains.decision import (
    FAR,
    FIRES,
    LATE,
    MINUTE_NS,
    QUESTIONABLE,
    REJECTED,
    WEAK,
    Quake,
    Reading,
    distance_km,
    judge,
)
from fleet.chains.models import ChainAction, ChainFiring, ChainQuake
from fleet.chains.program import Chains
from fleet.chains.rules import Rule, read
from fleet.chains.sentences import Names, write_rule
from fleet.cli import main
from fleet.commands.keys import FILE, found_key, load_key
from fleet.commands.models import GatewayCommand
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.notifications import queue
from fleet.notifications.decide import AlarmNow
from fleet.sites import service as sites
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from tests.fleet.test_authorization import sign_in
from wire.command import DONE, REFUSED, decode_order
from wire.record import AuditRecord, Lane
from wire.topics import Up
from wire.twin import AlarmInfo

NS = 1_000_000_000
VALVE = "close-gas:commanded"
PLANT = (29.60, 106.50)
RULES = """
[[chain]]
name = "gas-off"
title = "关闭燃气"
intensity = 6
within_km = 30
site = "plant"
[[chain.raise]]
alarm = "close-gas:commanded"
sites = ["plant"]

[[chain]]
name = "look"
title = "桥梁与滑坡"
intensity = 7
[[chain.hurry]]
gateways = ["gw-slope-0001"]
groups = ["crack.slow"]
every_s = 10
lasts_min = 120
[[chain.inspect]]
title = "桥梁巡检清单"
sectors = ["lifeline"]
places = ["石门大桥"]
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class District:
    """A plant with a gateway that knows the commands, a slope with one that does not, and two bridges."""

    def __init__(self, services: Services) -> None:
        self.services, self.clock = services, services.clock
        found_key(services.settings.data_dir)
        with services.database.writing() as session:
            sites.add(session, "plant", "江北化工园", "chemical", *PLANT)
            sites.add(session, "slope", "滑坡", "geology", 29.7, 106.6)
            sites.add(session, "bridge-1", "江津长江大桥", "lifeline", 29.2, 106.2)
            sites.add(session, "bridge-2", "鱼洞大桥", "lifeline", 29.3, 106.5)
            gateways.register(session, "gw-slope-0001", "滑坡网关", "slope", START_NS)
            rulebook.put_rules(session, read(RULES), "li", START_NS)
        self.scene = Scene(services)
        with services.database.writing() as session:
            gateways.get(session, edge.GATEWAY).site_key = "plant"
        self.report()
        self.seq = 0

    def report(self, commands: tuple[str, ...] = ("hurry", "raise"), title: str = "关阀") -> None:
        alarm = AlarmInfo(name=VALVE, tag="", level="commanded", limit=None, priority=1, title=title)
        told = edge.reported(commands=commands, alarms=(alarm,), site="")
        self.scene.committer.commit([edge.up(Up.REPORTED, told)])

    def consider(self, intensity: float, *, quake: int | str = 7, **more: Any) -> None:
        with self.services.database.writing() as session:
            service.consider(session, quake, intensity, *PLANT, self.clock() - 2 * NS, self.clock(), **more)

    def settle(self) -> list[int]:
        with self.services.database.writing() as session:
            return service.settle(session, self.key, self.clock())

    def watch(self) -> None:
        with self.services.database.writing() as session:
            answers.watch(session, self.clock())

    @property
    def key(self) -> Any:
        return partial(load_key, self.services.settings.data_dir)

    def commands(self) -> list[tuple[str, str]]:
        query = sa.select(GatewayCommand.gateway, GatewayCommand.name).order_by(GatewayCommand.issued_ns)
        return [tuple(row) for row in self.scene.rows(query)]

    def fired(self) -> list[tuple[str, str, str]]:
        query = sa.select(ChainFiring.rule, ChainFiring.quake, ChainFiring.state).order_by(ChainFiring.id)
        return [tuple(row) for row in self.scene.rows(query)]

    def answer(self, event: str = DONE, detail: str = "done") -> None:
        """The gateway answers all that it was asked."""
        ids = [row[0] for row in self.scene.rows(sa.select(GatewayCommand.id).where(GatewayCommand.answer == ""))]
        for command_id in ids:
            self.seq += 1
            record = AuditRecord(self.seq, START_NS, event, detail, command_id)
            self.scene.send(self.seq, record, lane=Lane.ALARMS)

    def alarms(self) -> list[str]:
        query = sa.select(Alarm.name).where(Alarm.active).order_by(Alarm.name)
        return [name for (name,) in self.scene.rows(query) if name.startswith(("fleet:chain", "fleet:inspection"))]

    def show(self, number: int) -> showing.FiringLine:
        with self.services.database.reading() as session:
            firing, names = answers.get_firing(session, number), showing.find_names(session)
            (line,) = showing.show_firings(session, [firing], names, "zh", self.clock())
            return line


@pytest.fixture
def district(services: Services) -> District:
    return District(services)


# the decision


def rule(**more: Any) -> Rule:
    return Rule(name="r", intensity=6, **more)


NEAR, AWAY = (29.7, 106.6), (31.0, 104.0)


@pytest.mark.parametrize(
    ("given", "readings", "more", "reason"),
    [
        (rule(), [Reading("A", 6.0)], {}, FIRES),
        (rule(), [Reading("A", 5.96)], {}, FIRES),
        (rule(), [Reading("A", 5.94)], {}, WEAK),
        (rule(), [Reading("A", 5.0), Reading("B", 8.0)], {}, FIRES),
        (rule(), [Reading("A", float("nan"))], {}, FAR),
        (rule(), [], {}, FAR),
        (rule(), [Reading("A", 9.0)], {"is_rejected": True}, REJECTED),
        (rule(stations=("B",)), [Reading("A", 9.0)], {}, FAR),
        (rule(stations=("B",)), [Reading("A", 9.0), Reading("B", 6.1)], {}, FIRES),
        (rule(within_km=30, lat=PLANT[0], lon=PLANT[1]), [Reading("A", 7.0, *NEAR)], {}, FIRES),
        (rule(within_km=30, lat=PLANT[0], lon=PLANT[1]), [Reading("A", 7.0, *AWAY)], {}, FAR),
        (rule(within_km=30, lat=PLANT[0], lon=PLANT[1]), [Reading("A", 7.0)], {}, FAR),
        (
            rule(within_km=30, lat=PLANT[0], lon=PLANT[1]),
            [Reading("A", 5.0, *NEAR), Reading("B", 9.0, *AWAY)],
            {},
            WEAK,
        ),
        (rule(), [Reading("A", 7.0, is_good=False)], {}, QUESTIONABLE),
        (rule(), [Reading("A", 5.0, is_good=False)], {}, WEAK),
        (rule(questionable=True), [Reading("A", 7.0, is_good=False)], {}, FIRES),
        (rule(), [Reading("A", 7.0, is_good=False), Reading("B", 3.0)], {}, FIRES),
        (rule(stations=("A",)), [Reading("A", 7.0, is_good=False), Reading("B", 3.0)], {}, FIRES),
        (rule(), [Reading("A", 7.0)], {"at_ns": START_NS - 31 * MINUTE_NS}, LATE),
        (rule(late_min=60), [Reading("A", 7.0)], {"at_ns": START_NS - 31 * MINUTE_NS}, FIRES),
        (rule(), [Reading("A", 7.0)], {"at_ns": START_NS + MINUTE_NS}, FIRES),
    ],
)
def test_decision(given: Rule, readings: list[Reading], more: dict[str, Any], reason: str) -> None:
    quake = Quake(tuple(readings), **{"at_ns": START_NS, **more})
    place = None if given.lat is None or given.lon is None else (given.lat, given.lon)
    assert judge(given, place, quake, START_NS).reason == reason


@given(st.lists(st.floats(0, 12), min_size=1, max_size=6), st.floats(1, 12))
def test_it_fires_exactly_if_the_strongest_reaches_the_limit(intensities: list[float], limit: float) -> None:
    readings = tuple(Reading(f"S{number}", intensity) for number, intensity in enumerate(intensities))
    fires = judge(Rule(name="r", intensity=limit), None, Quake(readings, START_NS), START_NS).fires
    assert fires == (max(round(intensity, 1) for intensity in intensities) >= limit)


def test_distance_is_that_of_the_great_circle() -> None:
    assert distance_km((0, 0), (0, 180)) == pytest.approx(20015.115, abs=0.01)
    assert distance_km((29.56, 106.55), (30.66, 104.06)) == pytest.approx(269, abs=2)  # Chongqing, Chengdu


# firing


def test_quake_fires_the_rule_that_it_reaches_and_the_next_one_when_it_grows(district: District) -> None:
    district.consider(5.2)
    assert district.settle() == []
    district.consider(6.4)
    assert len(district.settle()) == 1
    assert district.commands() == [(edge.GATEWAY, "raise")]
    for intensity in (6.4, 6.9, 7.2, 7.2):
        district.consider(intensity)
        district.settle()
    assert district.fired() == [("gas-off", "7", "fired"), ("look", "7", "fired")]
    assert district.commands() == [(edge.GATEWAY, "raise")]  # the slope's gateway does not know hurry
    district.consider(8.0, quake=8)
    district.settle()
    assert [rule for rule, quake, _ in district.fired() if quake == "8"] == ["gas-off", "look"]


def test_command_is_signed_and_says_why(district: District) -> None:
    district.consider(6.4)
    district.settle()
    (row,) = district.scene.rows(sa.select(GatewayCommand))
    order = decode_order(row[0].signed_order)
    assert order.arguments == {"alarm": VALVE, "holds": True, "why": "关闭燃气: 6.4", "drill": False}
    assert (order.author, order.expires_ns - order.issued_ns) == ("chain gas-off", 3600 * NS)
    assert district.scene.rows(sa.select(AuditLine.action, AuditLine.target))[-1] == ("chain.fire", "gas-off")


def test_many_at_once_fire_it_once(district: District) -> None:
    def work(number: int) -> None:
        barrier.wait()
        for _ in range(3):
            district.consider(6.0 + number / 10)
            district.settle()

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert district.fired() == [("gas-off", "7", "fired")]
    assert district.commands() == [(edge.GATEWAY, "raise")]


def test_restart_between_noting_and_firing_loses_nothing_and_a_fault_in_between_leaves_nothing(
    district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    district.consider(6.4)
    with monkeypatch.context() as patch:
        patch.setattr(service.audit, "append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            district.settle()
    assert (district.fired(), district.commands()) == ([], [])
    Chains(district.services).turn()  # another process, after the restart
    assert district.commands() == [(edge.GATEWAY, "raise")]
    Chains(district.services).turn()
    assert len(district.commands()) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"is_rejected": True},
        {"readings": (Reading("SC.A01", 9.0, *PLANT, is_good=False),)},
        {"readings": (Reading("SC.A01", 9.0, 35.0, 100.0),)},
    ],
    ids=["rejected", "one questionable station", "far away"],
)
def test_quake_that_does_not_count_raises_nothing(district: District, more: dict[str, Any]) -> None:
    with district.services.database.writing() as session:
        rulebook.switch(session, "look", is_on=False, by="li", now_ns=START_NS)
    district.consider(9.0, **more)
    assert (district.settle(), district.commands()) == ([], [])


def test_quake_that_is_confirmed_later_fires_then(district: District) -> None:
    shaky = Reading("SC.A01", 6.5, *PLANT, is_good=False)
    district.consider(6.5, readings=[shaky])
    assert district.settle() == []
    district.consider(6.5, readings=[shaky, Reading("SC.A02", 4.0, *AWAY)])
    assert len(district.settle()) == 1


def test_what_is_learnt_too_late_sets_nothing_going_and_is_told(district: District, clock: Clock) -> None:
    at_ns = clock()
    clock.advance(3600)
    with district.services.database.writing() as session:
        service.consider(session, 7, 6.4, *PLANT, at_ns, clock())
    district.settle()
    district.watch()
    assert (district.fired(), district.commands()) == ([("gas-off", "7", "late")], [])
    assert district.alarms() == ["fleet:chain-undone:gas-off#1"]


def test_rule_that_is_off_does_not_fire_when_it_is_switched_on_later(district: District) -> None:
    with district.services.database.writing() as session:
        rulebook.switch(session, "gas-off", is_on=False, by="li", now_ns=START_NS)
    district.consider(6.4)
    district.settle()
    with district.services.database.writing() as session:
        rulebook.switch(session, "gas-off", is_on=True, by="li", now_ns=START_NS)
    assert (district.settle(), district.fired()) == ([], [])


# answers


def test_gateway_that_does_not_answer_is_shown_and_alarmed_until_it_has(district: District, clock: Clock) -> None:
    district.consider(6.4)
    (number,) = district.settle()
    district.watch()
    assert district.alarms() == []
    assert [answer.state for answer in district.show(number).answers] == ["pending"]
    clock.advance(61)
    district.watch()
    assert district.alarms() == [f"fleet:chain-undone:gas-off#{number}"]
    assert [answer.state for answer in district.show(number).answers] == ["silent"]
    district.answer(DONE, "raise: close-gas:commanded raised")
    district.watch()
    assert district.alarms() == []
    (answer,) = district.show(number).answers
    assert (answer.state, answer.detail) == ("done", "raise: close-gas:commanded raised")


def test_gateway_that_refuses_is_alarmed(district: District) -> None:
    district.consider(6.4)
    district.settle()
    district.answer(REFUSED, "the configuration has no alarm")
    district.watch()
    assert district.alarms() == ["fleet:chain-undone:gas-off#1"]


def test_agent_that_does_not_know_the_command_is_told_of_and_holds_up_no_other(district: District) -> None:
    district.consider(7.5)
    district.settle()
    (look,) = [district.show(n) for n, r in enumerate(["gas-off", "look"], 1) if r == "look"]
    (answer,) = look.answers
    assert answer.state == "unsent"
    assert "does not carry out 'hurry'" in answer.detail
    district.watch()
    assert "fleet:chain-undone:look#2" in district.alarms()
    assert district.commands() == [(edge.GATEWAY, "raise")]


def test_site_without_such_a_gateway_is_told_of(district: District) -> None:
    district.scene.committer.commit([edge.up(Up.REPORTED, edge.reported(commands=("raise",), site=""))])
    district.consider(6.4)
    (number,) = district.settle()
    (answer,) = district.show(number).answers
    assert (answer.state, answer.gateway) == ("unsent", "")
    assert "no gateway of plant reports to have alarm 'close-gas:commanded'" in answer.detail


def test_missing_key_is_told_of_and_the_list_of_places_is_made_all_the_same(district: District) -> None:
    (district.services.settings.data_dir / FILE).unlink()
    district.consider(7.5)
    district.settle()
    assert district.show(1).answers[0].state == "unsent"
    assert len(district.show(2).inspections) == 3


def test_take_back_clears_what_was_raised(district: District) -> None:
    district.consider(6.4)
    (number,) = district.settle()
    with district.services.database.writing() as session:
        assert service.take_back(session, district.key, number, "li", district.clock()) == 1
    orders = [decode_order(row[0]) for row in district.scene.rows(sa.select(GatewayCommand.signed_order))]
    assert sorted(order.arguments["holds"] for order in orders) == [False, True]
    assert [answer.holds for answer in district.show(number).answers] == [True, False]


# drills


def test_drill_asks_for_a_drill_and_alarms_nobody(district: District, clock: Clock) -> None:
    with district.services.database.writing() as session:
        first = service.drill(session, district.key, "gas-off", "li", clock())
        second = service.drill(session, district.key, "look", "li", clock())
    (row,) = district.scene.rows(sa.select(GatewayCommand))
    assert decode_order(row[0].signed_order).arguments["drill"] is True
    clock.advance(600)
    district.watch()
    assert district.alarms() == []
    assert (district.show(first).is_drill, district.show(first).by) == (True, "li")
    assert len(district.show(second).inspections) == 3
    with district.services.database.writing() as session, pytest.raises(ConflictError):
        service.take_back(session, district.key, first, "li", clock())
    district.consider(6.4)
    assert len(district.settle()) == 1, "a drill does not stand for the real thing"


# inspections


def test_list_of_places_is_an_alarm_that_people_are_told_of_until_all_is_ticked_off(district: District) -> None:
    district.consider(7.5)
    district.settle()
    assert district.alarms() == ["fleet:inspection:look#2"]
    with district.services.database.reading() as session:
        (told,) = queue.read_alarms(session, [("", "fleet:inspection:look#2")]).values()
    assert isinstance(told, AlarmNow)
    assert told.kind == "待巡检: 桥梁巡检清单: 江津长江大桥、鱼洞大桥、石门大桥"
    items = district.show(2).inspections
    for item in items:
        assert district.alarms() == ["fleet:inspection:look#2"]
        with district.services.database.writing() as session:
            inspections.tick(session, item.id, "wang", " no crack ", district.clock())
    assert district.alarms() == []
    assert {(item.done_by, item.comment) for item in district.show(2).inspections} == {("wang", "no crack")}
    with district.services.database.writing() as session, pytest.raises(ConflictError, match="by wang"):
        inspections.tick(session, items[0].id, "li", "", district.clock())
    with district.services.database.writing() as session:
        inspections.tick(session, items[0].id, "li", "look again", district.clock(), is_done=False)
    assert district.alarms() == ["fleet:inspection:look#2"]


# rules


def test_rule_reads_as_sentences() -> None:
    gas, look = read(RULES)
    names = Names(
        {"plant": "江北化工园"}, {"gw-slope-0001": "滑坡网关"}, {"lifeline": "城市生命线"}, {VALVE: "关闭燃气"}
    )
    said = write_rule(gas, names, "zh")
    assert said.when == "地震烈度达到 6 度（任一台站在江北化工园 30 公里内）时："
    assert said.does == ("江北化工园的网关：发出“关闭燃气”报警",)
    assert write_rule(look, names, "zh").does == (
        "滑坡网关：crack.slow 在 2 小时内每 10 秒采集一次",
        "通知巡检“桥梁巡检清单”：石门大桥、城市生命线行业的全部场所，逐项勾选",
    )
    assert write_rule(look, names, "en").does[0] == "滑坡网关: read crack.slow every 10 s for 2 h"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[chain]]\nname = 1", "name"),
        ("[[chain]]\nname='a'\nintensity=6", "sets nothing going"),
        ("[[chain]]\nname='a'\nintensity=60\n[[chain.inspect]]\ntitle='b'\nplaces=['c']", "intensity"),
        ("[[chain]]\nname='a'\nintensity=6\nwithin_km=3\n[[chain.inspect]]\ntitle='b'\nplaces=['c']", "one place"),
        ("[[chain]]\nname='a'\nintensity=6\nsite='x'\n[[chain.inspect]]\ntitle='b'\nplaces=['c']", "add within_km"),
        ("[[chain]]\nname='a'\nintensity=6\nlat=3\n[[chain.inspect]]\ntitle='b'\nplaces=['c']", "half a position"),
        ("[[chain]]\nname='a'\nintensity=6\n[[chain.inspect]]\ntitle='b'", "nothing to look at"),
        ("[[chain]]\nname='a'\nintensity=6\n[[chain.raise]]\nalarm='x:commanded'", "names nobody"),
        ("[[chain]]\nname='a'\nintensity=6\n[[chain.raise]]\nalarm='t.x:high'\nsites=['s']", "alarm"),
        ("[[chains]]", "unknown table 'chains'"),
        ("chain = 3", "list of"),
        ("[[chain]", "not TOML"),
        ("[[chain]]\nname='a'\nintensity=6\n[[chain.inspect]]\ntitle='b'\nplaces=['c']\n" * 2, "two chains"),
    ],
)
def test_mistake_of_a_rule_is_said_in_words(text: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        read(text)


def test_import_keeps_switches_tells_what_is_not_there_and_what_went(district: District) -> None:
    with district.services.database.writing() as session:
        rulebook.switch(session, "look", is_on=False, by="li", now_ns=START_NS)
    only_look = RULES[RULES.index("[[chain]]", 20) :]
    with district.services.database.writing() as session:
        assert rulebook.put_rules(session, read(only_look), "wang", START_NS) == ["gas-off"]
        ((row, _),) = rulebook.list_rules(session)
        assert (row.name, row.is_on, row.changed_by) == ("look", False, "wang")
    wrong = read(RULES.replace('"plant"', '"plnat"').replace("gw-slope-0001", "gw-slope-0009"))
    with district.services.database.writing() as session, pytest.raises(NotFoundError) as error:
        rulebook.put_rules(session, wrong, "wang", START_NS)
    assert "there is no site 'plnat'" in str(error.value)
    assert "there is no gateway 'gw-slope-0009'" in str(error.value)


def test_command_line_checks_imports_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = str(tmp_path / "fleet"), tmp_path / "chains.toml"
    assert main(["init", "--data", data]) == 0
    file.write_text(
        "[[chain]]\nname='walk'\ntitle='巡检'\nintensity=5\n[[chain.inspect]]\ntitle='桥'\nplaces=['石门大桥']\n"
    )
    assert main(["chains", "check", str(file), "--data", data]) == 0
    assert main(["chains", "import", str(file), "--data", data]) == 0
    capsys.readouterr()
    assert main(["chains", "list", "--data", data, "--language", "en"]) == 0
    out = capsys.readouterr().out
    assert "walk  巡检" in out
    assert "When a quake of intensity 5 or more is measured (at any station):" in out
    file.write_text("[[chain]]\nname='walk'\nintensity=5\n[[chain.raise]]\nalarm='x:commanded'\nsites=['gone']\n")
    assert main(["chains", "import", str(file), "--data", data]) == 1
    assert "there is no site 'gone'" in capsys.readouterr().err


# pages and API


@pytest.fixture
def app(district: District) -> Any:
    services = district.services
    with services.database.writing() as session:
        for role in Role:
            accounts.add(session, role.value, None, role, services.clock())
        accounts.set_sites(session, "enterprise", ["plant"])
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


@pytest.mark.parametrize(
    ("role", "sees", "ticks", "switches"),
    [
        (Role.ADMINISTRATOR, True, True, True),
        (Role.OPERATOR, True, True, True),
        (Role.TECHNICIAN, True, False, False),
        (Role.AUDITOR, True, False, False),
        (Role.ENTERPRISE, False, False, False),
    ],
)
def test_who_may_do_what(app: Any, district: District, role: Role, sees: bool, ticks: bool, switches: bool) -> None:
    district.consider(7.5)
    district.settle()
    client, item = sign_in(app, role.value), district.show(2).inspections[0].id
    for path in ("/chains", "/chains/firings/2", "/api/chains", "/api/chains/firings", "/api/chains/firings/2"):
        assert (client.get(path).status_code == 200) == sees, path
    assert (client.put("/api/chains/look/switch", json={"is_on": False}).status_code == 204) == switches
    assert (client.post("/chains/change", data={"chain": "look", "change": "on"}).status_code == 303) == switches
    assert (client.post("/api/chains/look/drill").status_code == 201) == switches
    assert (client.post(f"/api/chains/inspections/{item}", json={"comment": "well"}).status_code == 200) == ticks
    assert (
        client.post("/chains/firings/2/change", data={"change": "untick", "item": item}).status_code == 303
    ) == ticks
    assert (client.post("/api/chains/firings/1/take-back").status_code == 204) == ticks


def test_page_shows_sentences_answers_and_what_came_of_the_newest_quake(app: Any, district: District) -> None:
    client = sign_in(app, "operator")
    assert "还没有触发过" in client.get("/chains").text
    district.consider(6.4)
    district.settle()
    text = client.get("/chains").text
    assert "地震烈度达到 6 度（任一台站在江北化工园 30 公里内）时：" in text
    assert "江北化工园的网关：发出“关阀”报警" in text
    assert "烈度不够" in text  # the rule that wants 7
    page = client.get("/chains/firings/1")
    assert "state is-pending" in page.text
    assert '/quakes/7"' in page.text
    assert client.get("/chains/firings/99").status_code == 404
    english = client.get("/chains", headers={"Cookie": "language=en"})
    assert english.status_code == 200


def test_drill_by_the_page_leads_to_its_firing_which_says_that_it_is_one(app: Any) -> None:
    client = sign_in(app, "administrator")
    answer = client.post("/chains/change", data={"chain": "gas-off", "change": "drill"})
    assert answer.location.endswith("/chains/firings/1")
    assert "演练" in client.get("/chains/firings/1").text
    assert client.post("/chains/firings/1/change", data={"change": "take-back"}).status_code == 409
    assert client.post("/chains/firings/1/change", data={"change": "nonsense"}).status_code == 422
    assert client.post("/chains/change", data={"chain": "gone", "change": "on"}).status_code == 404


def test_old_quakes_that_were_noted_are_forgotten_and_firings_stay(district: District, clock: Clock) -> None:
    district.consider(6.4)
    district.settle()
    clock.advance(91 * 86_400)
    Chains(district.services).prune()
    assert district.scene.count(ChainQuake) == 0
    assert district.scene.count(ChainFiring) == 1
    assert district.scene.count(ChainAction) == 1


def test_rule_of_a_later_release_is_told_of_and_holds_up_no_other(district: District) -> None:
    with district.services.database.writing() as session:
        row = rulebook.get_rule(session, "look")
        row.content = {**row.content, "moon": "full"}
    district.consider(7.5)
    district.settle()
    district.watch()
    assert [rule for rule, _, _ in district.fired()] == ["gas-off"]
    assert district.alarms() == ["fleet:chain-undone:look"]
    with district.services.database.writing() as session, pytest.raises(ConflictError, match="this release"):
        service.drill(session, district.key, "look", "li", district.clock())
