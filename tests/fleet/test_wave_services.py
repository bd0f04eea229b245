"""FDSN services and files, judged by obspy: bit-exact samples, valid StationXML, and only what an account may see."""

from __future__ import annotations

import io
import threading
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.errors import InvalidError
from fleet.sites import service as sites
from fleet.waveforms import fdsn
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.judge import obspy
from tests.fleet.waves import NS, STREAM, Station, counts, record
from wire.topics import Up

pytestmark = pytest.mark.filterwarnings("ignore")  # obspy's own
PASSWORD = "correct horse"
NORTH = "XX.RS001.00.HNN"
FOREIGN = "XX.RS009.00.HNZ"
CHANNELS = [
    {"code": "HNZ", "tag": "acc.z", "sensitivity": 256_000, "unit": "g", "azimuth": 0, "dip": -90},
    {"code": "HNN", "tag": "acc.n", "sensitivity": 256_000 / 9.80665, "unit": "m/s2", "azimuth": 0, "dip": 0},
    {"code": "HNE", "tag": "acc.e", "sensitivity": 256_000 / 980.665, "unit": "gal", "azimuth": 90, "dip": 0},
]
PLACE = {
    "name": "tower", "title": "塔楼顶层", "network": "XX", "station": "RS001", "location": "00", "latitude": 29.6,
    "longitude": 106.5, "elevation_m": 251.5, "channels": CHANNELS, "something": "of a later release",
}  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def app(services: Services, clock: Clock) -> Flask:
    with services.database.writing() as session:
        for key in ("own-plant", "foreign-plant"):
            sites.add(session, key, key, "earthquake", None, None)
        accounts.add(session, "operator", PASSWORD, Role.OPERATOR, clock())
        accounts.add(session, "mine", PASSWORD, Role.ENTERPRISE, clock())
        accounts.set_sites(session, "mine", ["own-plant"])
    own = Station(services, "gw-own-0001", "own-plant")
    told = edge.reported(site="own-plant", config={"station": [PLACE, {"network": "??"}]})
    own.committer.commit([edge.up(Up.REPORTED, told, gateway="gw-own-0001")])
    own.send(*(record(n) for n in range(60) if n != 20), *(record(n, stream=NORTH) for n in range(60)))
    other = Station(services, "gw-foreign-0001", "foreign-plant")
    place = {**PLACE, "station": "RS009", "latitude": 30.5}
    told = edge.reported(site="foreign-plant", config={"station": [place]})
    other.committer.commit([edge.up(Up.REPORTED, told, gateway="gw-foreign-0001")])
    other.send(record(0, stream=FOREIGN))
    clock.advance(100)
    return create_app(services)


def ask(app: Flask, path: str, name: str = "operator", data: str | None = None) -> Any:
    basic = {"Authorization": "Basic " + b64encode(f"{name}:{PASSWORD}".encode()).decode()}
    client = app.test_client()
    return client.get(path, headers=basic) if data is None else client.post(path, headers=basic, data=data)


def at(seconds: float) -> str:
    return fdsn.write_time(START_NS + round(seconds * NS)).rstrip("Z")


def window(codes: str, begin: float, end: float) -> str:
    network, station, location, channel = codes.split(".")
    words = f"net={network}&sta={station}&loc={location}&cha={channel}&start={at(begin)}&end={at(end)}"
    return f"/fdsnws/dataselect/1/query?{words}"


def samples(numbers: range) -> list[int]:
    return [value for n in numbers for value in counts(n)]


@pytest.mark.parametrize("form", ["miniseed", "miniseed3"])
def test_what_dataselect_gives_obspy_reads_bit_by_bit_with_its_gap(app: Flask, form: str) -> None:
    answer = ask(app, window(STREAM, 10, 40) + f"&format={form}")
    assert answer.status_code == 200
    if form == "miniseed3":
        from seismic import miniseed

        assert [value for one in miniseed.read(answer.data) for value in one.counts] == [
            *samples(range(10, 20)), *samples(range(21, 40)), counts(40)[0],
        ]  # fmt: skip
        return
    before, after = sorted(obspy.read(io.BytesIO(answer.data)), key=lambda trace: trace.stats.starttime)
    assert before.id == after.id == STREAM
    assert before.data.tolist() == samples(range(10, 20))
    assert after.data.tolist() == [*samples(range(21, 40)), counts(40)[0]], "an end counts itself"
    assert before.stats.starttime.ns == START_NS + 10 * NS
    assert before.stats.sampling_rate == 100.0


def test_a_window_is_cut_to_the_sample(app: Flask) -> None:
    (trace,) = obspy.read(io.BytesIO(ask(app, window(NORTH, 1.505, 3.495)).data))
    assert trace.data.tolist() == samples(range(1, 4))[51:250]
    assert trace.stats.starttime.ns == START_NS + 1_510_000_000


def test_post_asks_for_many_windows_at_once(app: Flask) -> None:
    body = (
        f"format=miniseed\nXX RS001 00 HNZ {at(0)} {at(5)}\nXX RS00? -- * {at(0)} {at(5)}\nXX * * HN? {at(8)} {at(9)}\n"
    )
    found = obspy.read(io.BytesIO(ask(app, "/fdsnws/dataselect/1/query", data=body).data))
    assert {(trace.id, len(trace)) for trace in found} == {(STREAM, 501), (STREAM, 101), (NORTH, 101)}


def test_obspys_client_finds_the_services_and_reads_waveforms_and_stations(app: Flask) -> None:
    with serving(app) as address:
        client = obspy.clients.fdsn.Client(address)
        opener = urllib.request.build_opener()
        opener.addheaders = [("Authorization", "Basic " + b64encode(f"operator:{PASSWORD}".encode()).decode())]
        client._url_opener = opener
        begin = obspy.UTCDateTime(ns=START_NS)
        stream = client.get_waveforms("XX", "RS001", "00", "HNN", begin, begin + 59.99)
        inventory = client.get_stations(network="XX", station="RS001", level="response")
    (trace,) = stream
    assert trace.data.tolist() == samples(range(60))
    trace.remove_sensitivity(inventory)
    assert trace.data[7] == pytest.approx(counts(0)[7] / 256_000 * 9.80665, rel=1e-12)


class serving:  # noqa: N801 - a context manager
    """The application on a loopback port."""

    def __init__(self, app: Flask) -> None:
        self._server = make_server("127.0.0.1", 0, app, threaded=True)

    def __enter__(self) -> str:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_stationxml_is_valid_and_gives_metres_per_second_squared(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "station.xml"
    file.write_bytes(ask(app, "/fdsnws/station/1/query?level=response").data)
    assert obspy.io.stationxml.core.validate_stationxml(str(file)) == (True, ())
    inventory = obspy.read_inventory(str(file))
    (station,) = inventory.select(station="RS001")[0]
    assert (station.latitude, station.longitude, station.elevation) == (29.6, 106.5, 251.5)
    assert station.site.name == "塔楼顶层"
    assert [(one.code, one.azimuth, one.dip) for one in station] == [("HNZ", 0, -90), ("HNN", 0, 0), ("HNE", 90, 0)]
    for one in station:
        sensitivity = one.response.instrument_sensitivity
        assert sensitivity.value == pytest.approx(256_000 / 9.80665)
        assert sensitivity.input_units == "m/s**2"
    assert station[0].sample_rate == 100.0


def test_stations_are_chosen_by_codes_place_and_level(app: Flask) -> None:
    path = "/fdsnws/station/1/query?format=text"
    assert ask(app, f"{path}&level=network").text.splitlines()[1] == "XX||||2"
    assert "RS001" not in ask(app, f"{path}&minlat=30").text
    assert ask(app, f"{path}&sta=RS001").text.count("\n") == 2
    channels = ask(app, f"{path}&level=channel&cha=HNZ&sta=RS001").text.splitlines()
    assert channels[1].startswith("XX|RS001|00|HNZ|29.6|106.5|251.5|0.0|0.0|-90.0||26104.7")
    assert ask(app, f"{path}&sta=NONE").status_code == 204
    assert ask(app, f"{path}&sta=NONE&nodata=404").status_code == 404


def test_an_enterprise_sees_its_own_stations_alone(app: Flask) -> None:
    assert ask(app, window("XX.RS009.*.*", 0, 9)).status_code == 200
    assert ask(app, window("XX.RS009.*.*", 0, 9), "mine").status_code == 204
    assert "RS009" not in ask(app, "/fdsnws/station/1/query", "mine").text
    everything = obspy.read(io.BytesIO(ask(app, window("*.*.*.*", 0, 99), "mine").data))
    assert {trace.stats.station for trace in everything} == {"RS001"}
    client = app.test_client()
    assert client.get(window(STREAM, 0, 9)).status_code == 401
    assert client.get("/fdsnws/dataselect/1/version").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "", "start=2026-01-01", "start=2026-01-02&end=2026-01-01", "start=x&end=y",
        "net=!&start=2026-01-01&end=2026-01-02",
        "start=2026-01-01&end=2026-01-02&format=sac", "start=2026-01-01&end=2026-01-02&nodata=500", "colour=red",
        "start=0001-01-01&end=9999-12-31T23:59:59&format=csv",
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told_in_words(app: Flask, query: str) -> None:
    answer = ask(app, f"/fdsnws/dataselect/1/query?{query}")
    assert answer.status_code == 400
    assert answer.text.startswith("Error 400: ")


def test_more_than_one_answer_holds_is_refused(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.waveforms.export.SAMPLES_MOST", 100)
    assert ask(app, window(STREAM, 0, 9)).status_code == 400
    assert ask(app, "/fdsnws/dataselect/1/query", data="XX RS001 -- HNZ 1 2 3").status_code == 400


def test_a_time_is_read_in_utc_whatever_its_zone() -> None:
    assert fdsn.read_time("1970-01-01T08:00:01+08:00") == fdsn.read_time("1970-01-01T00:00:01Z") == NS
    with pytest.raises(InvalidError):
        fdsn.read_time("noon")


# pages


@pytest.fixture
def browser(app: Flask) -> Any:
    from tests.fleet.test_authorization import sign_in

    return sign_in(app, "operator")


def test_the_list_shows_reach_and_gaps_and_the_page_draws_and_offers_files(browser: Any) -> None:
    text = browser.get("/waveforms").text
    assert STREAM in text
    assert FOREIGN in text
    assert FOREIGN not in browser.get("/waveforms?station=XX.RS001").text
    page = browser.get(f"/waveforms/{STREAM}")
    assert page.status_code == 200
    assert 'class="gap"' in page.text
    assert 'class="outline"' in page.text
    assert "gal" in page.text
    assert browser.get("/waveforms/XX.NONE.00.HNZ").status_code == 404
    for span in ("1m", "10m", "24h", "7d", "30d", "x"):
        assert browser.get(f"/waveforms/{STREAM}?span={span}&at={START_NS + 60 * NS}").status_code == 200
    for wrong in (
        "from=x&to=y",
        "from=2026-01-01&to=2025-01-01",
        "span=1m&at=99999999999999999999999",
        "span=1h&at=-5",
    ):
        assert browser.get(f"/waveforms/{STREAM}?{wrong}").status_code == 200


def test_a_file_holds_what_the_chart_shows(browser: Any) -> None:
    where = f"/waveforms/{NORTH}/file?span=1m&at={START_NS + 60 * NS}"
    (trace,) = obspy.read(io.BytesIO(browser.get(where).data))
    assert trace.data.tolist() == samples(range(60))
    lines = browser.get(f"{where}&format=csv").text.splitlines()
    assert [int(line.split(",")[1]) for line in lines if not line.startswith("#")] == samples(range(60))
    assert lines[2].split(",")[0] == fdsn.write_time(START_NS)
    gapped = browser.get(f"/waveforms/{STREAM}/file?span=1m&at={START_NS + 60 * NS}&format=csv").text
    assert gapped.count("# XX.RS001") == 2
    assert browser.get(f"{where}&format=sac").status_code == 400
    assert browser.get(f"/waveforms/{NORTH}/file?from=x&to=y").status_code == 400
