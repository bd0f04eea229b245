"""Pages, API, report and the stream of earthquakes, in both languages; and who sees which part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.console import quakereport
from fleet.quakes import streets
from fleet.quakes.models import MERGED, Quake
from fleet.quakes.summary import DOUBTS
from seismic import miniseed
from tests.fleet.conftest import START_NS
from tests.fleet.quakes.scene import BRIDGE, TOWER, Quakes, report
from tests.fleet.quakes.test_waves import send_waves
from tests.fleet.test_authorization import sign_in

STREETS = (
    "name,latitude,longitude,population,approximate\n近街,29.571,106.571,1200,1\n桥街,29.84,106.57,,0\n远镇,31,108,,0\n"
)
BRDGE = "XX.BRDGE"


@pytest.fixture
def scene(services: Services) -> Quakes:
    scene = Quakes(services)
    with services.database.writing() as session:
        streets.replace_all(session, STREETS)
        for role in Role:
            accounts.add(session, role.value, None, role, services.clock())
        accounts.set_sites(session, "enterprise", ["site-tower-0001"])
        accounts.add(session, "bridge", None, Role.ENTERPRISE, services.clock())
        accounts.set_sites(session, "bridge", ["site-bridge-0001"])
    scene.say(TOWER, report(intensity_gb=7.2, grade=7, pga_gal=131.0))
    scene.say(BRIDGE, report(BRDGE, 5.0, magnitude=6.1, magnitude_error=0.5))
    return scene


@pytest.fixture
def app(scene: Quakes) -> Flask:
    return create_app(scene.services)


def get(app: Flask, path: str, name: str = "operator", language: str = "") -> Any:
    client = sign_in(app, name)
    if language:
        client.set_cookie("language", language)
    return client.get(path)


@pytest.mark.parametrize("role", list(Role))
def test_every_role_sees_the_list_and_an_event(app: Flask, role: Role) -> None:
    for path in ("/quakes", "/quakes/1", "/quakes/1/report.pdf", "/api/quakes", "/api/quakes/1", "/api/quakes/streets"):
        assert get(app, path, role.value).status_code == 200, path
    for path in ("/quakes/9", "/quakes/9/events", "/quakes/9/report.pdf", "/api/quakes/9"):
        assert get(app, path, role.value).status_code == 404, path


@pytest.mark.parametrize(
    ("name", "own", "foreign", "intensity"),
    [("enterprise", "XX.TOWER", BRDGE, 7.2), ("bridge", BRDGE, "XX.TOWER", 5.2)],
)
def test_an_enterprise_sees_the_part_of_its_own_stations_alone(
    app: Flask, name: str, own: str, foreign: str, intensity: float
) -> None:
    for path in ("/quakes", "/quakes/1", "/api/quakes", "/api/quakes/1"):
        text = get(app, path, name).text
        assert foreign not in text
        assert {"XX.TOWER": "江北嘴大厦", BRDGE: "朝天门大桥"}[foreign] not in text
    found = get(app, "/api/quakes/1", name).json
    assert (found["quake"]["stations"], found["quake"]["intensity_gb"]) == (1, intensity)
    assert [one["station"] for one in found["stations"]] == [own]
    felt = {one["name"]: one["intensity"] for one in found["streets"]}
    assert felt == {
        "近街": 7.2 if own == "XX.TOWER" else None,
        "桥街": None if own == "XX.TOWER" else 5.2,
        "远镇": None,
    }


def test_an_enterprise_without_a_station_in_it_finds_no_event(app: Flask, scene: Quakes) -> None:
    scene.say(BRIDGE, report(BRDGE, 500.0))
    assert get(app, "/quakes/2", "enterprise").status_code == 404
    assert [one["id"] for one in get(app, "/api/quakes", "enterprise").json["quakes"]] == [1]


def test_the_page_says_what_was_measured_and_what_is_an_estimate(app: Flask) -> None:
    page = get(app, "/quakes/1").text
    for words in (
        "烈度分布图",
        "各街道有感范围（估计）",
        "江北嘴大厦",
        "131.0",
        "近街",
        "位置为近似值",
        "1,200 人",
        "附近无台站",
    ):
        assert words in page, words
    page = get(app, "/quakes/1", language="en").text
    for words in (
        "Felt area by street (estimate)",
        "Intensity map",
        "VII",
        "No waveform has come yet.",
        "from the first 3 s",
    ):
        assert words in page, words


def test_the_alarm_leads_to_the_page_and_says_where(app: Flask) -> None:
    for path in ("/", "/alarms", "/alarms?state=journal"):
        assert 'href="/quakes/1"' in get(app, path).text, path
    page = get(app, "/alarms").text
    assert "江北嘴大厦" in page
    assert "7.20" in page
    assert "fleet:earthquake" not in get(app, "/api/alarms", "enterprise").text


def test_a_single_station_says_so(app: Flask, scene: Quakes) -> None:
    scene.say(BRIDGE, report(BRDGE, 500.0))
    assert "仅一个台站" in get(app, "/quakes/2").text
    assert "One station only" in get(app, "/quakes/2", language="en").text
    assert "1，未经印证" in get(app, "/quakes").text


def test_what_was_taken_back_is_shown_when_asked_for(app: Flask, scene: Quakes) -> None:
    scene.say(BRIDGE, report(BRDGE, 500.0), report(BRDGE, 500.0, 2, state="rejected", reason="the other is still"))
    assert "/quakes/2" not in get(app, "/quakes").text
    assert "/quakes/2" in get(app, "/quakes?rejected=1").text
    page = get(app, "/quakes/2").text
    assert "并非地震" in page
    assert "the other is still" in page
    assert get(app, "/quakes/2/report.pdf").status_code == 200


def test_an_event_that_is_part_of_another_leads_there(app: Flask, scene: Quakes) -> None:
    with scene.services.database.writing() as session:
        session.add(Quake(id=7, state=MERGED, onset_ns=START_NS, changed_ns=START_NS, into=1, told_grade=0))
    answer = get(app, "/quakes/7")
    assert (answer.status_code, answer.location) == (302, "/quakes/1")
    assert get(app, "/quakes/7", "enterprise").status_code == 404


def test_without_stations_the_list_says_why_it_is_empty(services: Services) -> None:
    with services.database.writing() as session:
        accounts.add(session, "operator", None, Role.OPERATOR, services.clock())
    assert "尚无网关配有台站" in get(create_app(services), "/quakes").text


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        ("", ("地震报告 1", "江北嘴大厦 XX.TOWER", "近街*", "VII", "7.2", "已触发", "正式参数以地震台网中心发布为准")),
        ("en", ("Earthquake report 1", "近街*", "triggered", "going on", "Official figures come from the earthquake")),
    ],
)
def test_the_report_says_it_all(
    app: Flask, monkeypatch: pytest.MonkeyPatch, language: str, wanted: tuple[str, ...]
) -> None:
    said: list[str] = []
    kept = {name: getattr(quakereport, name) for name in ("paragraph", "small", "clean")}

    def listen(name: str) -> Any:
        return lambda text: (said.append(text), kept[name](text))[1]

    for name in kept:
        monkeypatch.setattr(quakereport, name, listen(name))
    answer = get(app, "/quakes/1/report.pdf", language=language)
    assert (answer.mimetype, answer.data[:5]) == ("application/pdf", b"%PDF-")
    assert "earthquake-1.pdf" in answer.headers["Content-Disposition"]
    text = "\n".join(said)
    for words in wanted:
        assert words in text, words
    assert answer.data == get(app, "/quakes/1/report.pdf", language=language).data


def test_the_streams_begin_and_end_with_the_session(app: Flask, scene: Quakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.console.quakeviews.LOOK_S", 0.001)
    for path in ("/quakes/events", "/quakes/1/events"):
        with get(app, path, "enterprise") as answer:
            parts = iter(answer.response)
            assert next(parts).startswith(b"retry")
            assert b"changed" in next(parts)
            assert b"beat" in next(parts)
            scene.say(BRIDGE, report(BRDGE, 5.0, 1, state="grown"))
            assert b"beat" in next(parts), "nothing of its own has changed"
            scene.say(TOWER, report(after_s=scene.seq[TOWER], state="grown"))
            assert b"changed" in next(parts)
            with scene.services.database.writing() as session:
                accounts.set_password(session, "enterprise", "another long one")
            assert list(parts) == []


def test_docs_tell_of_every_doubt_and_the_command() -> None:
    text = Path("docs/operate/earthquake.md").read_text("utf-8")
    for word in (*(f"`{doubt}`" for doubt in DOUBTS), "fengsui-fleet streets import", "intensity_from"):
        assert word in text, word


def test_the_waveforms_of_all_stations_are_one_file_each_as_far_as_who_asks_sees_them(
    app: Flask, scene: Quakes
) -> None:
    assert get(app, "/quakes/1/waveforms").status_code == 404, "none has come yet"
    send_waves(scene, TOWER, "XX.TOWER", range(-200, 300))
    send_waves(scene, BRIDGE, BRDGE, range(-30, 60), "HNE")
    for form in ("miniseed", "miniseed3"):
        answer = get(app, f"/quakes/1/waveforms?format={form}")
        packets = miniseed.read(answer.data)
        assert {one.stream for one in packets} == {"XX.TOWER.00.HNZ", "XX.BRDGE.00.HNE"}
        assert sum(len(one.counts) for one in packets) == 100 * (420 + 90), "from 2 min before"
    table = get(app, "/quakes/1/waveforms?format=csv")
    assert table.headers["Content-Disposition"] == "attachment; filename=earthquake-1.csv"
    assert len([line for line in table.text.splitlines() if not line.startswith("#")]) == 100 * (420 + 90)
    own = miniseed.read(get(app, "/quakes/1/waveforms", "bridge").data)
    assert {one.stream for one in own} == {"XX.BRDGE.00.HNE"}
    assert get(app, "/quakes/1/waveforms?format=sac").status_code == 400
    assert get(app, "/quakes/9/waveforms").status_code == 404
    text = get(app, "/quakes/1").text
    assert "/quakes/1/waveforms?format=miniseed" in text
    assert "/waveforms/XX.TOWER.00.HNZ?from=" in text


def test_a_report_of_a_time_that_cannot_be_harms_no_page(app: Flask, scene: Quakes) -> None:
    scene.say(TOWER, report(onset_s=500, onset_ns=2**63 - 1, duration_s=1e6))
    number = max(one.id for one in scene.list())
    assert get(app, f"/quakes/{number}").status_code == 200
    assert get(app, f"/quakes/{number}/waveforms").status_code == 404
