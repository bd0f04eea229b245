"""The page over real HTTP: who gets in, what is shown, what is asked, and what a hostile name cannot do."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import AsyncIterator

import httpx
import pytest

from edge.errors import EdgeError
from edge.local.gate import SESSION_S
from edge.local.server import COOKIE, HEADERS
from edge.local.site import Limit
from tests.edge.local.fake import FakeSite, alarm, flood, tag
from tests.edge.local.serving import hash_cheaply, make_server
from wire.alarm import Standing

CODE = "2468013579"
HASHED = hash_cheaply(CODE)
PATHS = ("/", "/values", "/equipment", "/gateway", "/alarm?name=t-101.level:high-high")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def site() -> FakeSite:
    return FakeSite()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stranger(site: FakeSite, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    server = make_server(site, HASHED, now_s=clock)
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    await server.stop()


async def sign_in(client: httpx.AsyncClient, code: str = CODE, name: str = "张三", **headers: str) -> httpx.Response:
    return await client.post("/sign-in", data={"name": name, "code": code}, headers=headers)


@pytest.fixture
async def operator(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await sign_in(stranger)
    assert answer.status_code == 303
    return stranger


async def token_of(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/gateway")).text)
    assert found is not None
    return found[1]


async def operate(client: httpx.AsyncClient, **form: str) -> httpx.Response:
    defaults = {"form_token": await token_of(client), "alarm": "gd-03.gas:high", "occurrence": "7", "next": "/"}
    return await client.post("/operate", data=defaults | form)


# getting in


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
async def test_nothing_is_shown_without_the_code(stranger, path):
    answer = await stranger.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert answer.text == ""


async def test_sign_in_page_tells_nothing_of_the_alarms(stranger):
    answer = await stranger.get("/sign-in")
    assert answer.status_code == 200
    assert "t-101" not in answer.text
    assert "<nav" not in answer.text


async def test_nothing_is_done_without_the_code(stranger, site):
    answer = await stranger.post("/operate", data={"action": "acknowledge", "alarm": "gd-03.gas:high"})
    assert answer.headers["Location"] == "/sign-in"
    assert not site.asked


async def test_session_cookie_is_for_this_site_only_and_no_script_reads_it(stranger):
    cookie = (await sign_in(stranger)).headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={SESSION_S:.0f}"} <= set(cookie.split("; "))


async def test_wrong_code_is_told_and_the_name_is_kept(stranger):
    answer = await sign_in(stranger, "1111111111")
    assert answer.status_code == 401
    assert "现场密码错误" in answer.text
    assert 'value="张三"' in answer.text
    assert "Set-Cookie" not in answer.headers


async def test_fourth_wrong_code_makes_even_the_right_one_wait(stranger, clock):
    for _ in range(4):
        assert (await sign_in(stranger, "1111111111")).status_code == 401
    answer = await sign_in(stranger)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "2"
    clock.now_s += 2.0
    assert (await sign_in(stranger)).status_code == 303


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "\u200b\u202e"])
async def test_who_signs_in_gives_a_name_for_the_journal(stranger, name):
    assert (await sign_in(stranger, name=name)).status_code == 422


@pytest.mark.parametrize("origin", ["cross-site", "same-site"])
async def test_form_of_another_site_signs_nobody_in(stranger, origin):
    answer = await sign_in(stranger, **{"Sec-Fetch-Site": origin})
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


async def test_session_ends_with_the_shift_and_with_signing_out(operator, clock):
    assert (await operator.get("/")).status_code == 200
    clock.now_s += SESSION_S
    assert (await operator.get("/")).status_code == 303
    await sign_in(operator)
    await operator.post("/sign-out", data={"form_token": await token_of(operator)})
    assert (await operator.get("/")).status_code == 303


async def test_code_longer_than_any_is_wrong_without_hashing(stranger):
    assert (await sign_in(stranger, "1" * 5000)).status_code == 401


async def test_body_without_end_is_refused(stranger):
    answer = await stranger.post("/sign-in", content=b"code=" + b"1" * 100_000)
    assert answer.status_code == 413


# what every answer has


@pytest.mark.parametrize("path", [*PATHS, "/nowhere", "/sign-in", "/static/page.css", "/static/page.js"])
async def test_every_answer_has_the_security_headers(operator, path):
    answer = await operator.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "Cache-Control" in answer.headers


@pytest.mark.parametrize("path", PATHS)
async def test_no_script_and_no_style_stands_in_a_page_and_nothing_comes_from_outside(operator, path):
    text = (await operator.get(path)).text
    assert "style=" not in text
    assert not re.search(r"<script(?! src=\"/static/)", text)
    assert not re.search(r" on[a-z]+=", text)
    assert "http" not in re.sub(r"<title>.*?</title>", "", text)


@pytest.mark.parametrize("name", ["server.py", "..%2fserver.py", "%2e%2e/texts.toml", "none.css"])
async def test_only_known_files_are_served(operator, name):
    assert (await operator.get(f"/static/{name}")).status_code == 404


# what is shown


async def test_alarms_stand_by_priority_with_state_value_limit_and_its_source(operator):
    text = (await operator.get("/")).text
    places = [text.index(f'data-alarm="{name}"') for name in (
        "t-101.level:high-high", "gd-03.gas:high", "t-101.temperature:high", "gd-03.gas:bad", "t-101.pressure:high",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "t-101 液位 高高" in text
    assert "86.4\u00a0%" in text
    assert "限值 85\u00a0%" in text
    assert "GB/T 50493-2019" in text
    for state in ("未确认", "已确认", "锁存已确认", "搁置 至"):
        assert state in text
    assert 'data-alarm="t-101.level:low"' not in text


async def test_alarm_page_shows_the_value_now_and_only_what_can_be_asked(operator):
    text = (await operator.get("/alarm", params={"name": "t-101.level:high-high"})).text
    assert "86.4\u00a0% · 好" in text
    assert "siren" in text
    assert {*re.findall(r'id="do-([a-z]+)"', text)} == {"acknowledge", "shelve", "remove"}


async def test_alarm_that_is_gone_is_told(operator):
    assert "没有名为 x:high 的报警" in (await operator.get("/alarm?name=x:high")).text


async def test_values_have_unit_quality_age_and_range(operator):
    text = (await operator.get("/values")).text
    for said in ("液位", "86.4\u00a0%", "可疑：突变", "坏：无应答", "1 分钟前", "尚未读到", "量程 0 至 100"):
        assert said in text
    assert 'x1="86.4%"' in text


async def test_range_has_a_band_for_each_of_several_limits_of_a_level(operator, site):
    site.more_limits["t-101.level"] = [Limit(at, True, priority) for at, priority in ((90, 1), (60, 4), (70, 3))]
    for path in ("/values", "/alarm?name=t-101.level:high-high"):
        text = (await operator.get(path)).text
        bands = re.findall(r'<rect class="band (p\d)" x="([\d.]+%)" width="([\d.]+%)"', text)[:3]
        assert bands == [("p4", "60.0%", "40.0%"), ("p3", "70.0%", "30.0%"), ("p1", "90.0%", "10.0%")]


async def test_values_of_one_device_are_chosen(operator):
    text = (await operator.get("/values?device=gd-03")).text
    assert "可燃气" in text
    assert "液位" not in text


async def test_ten_thousand_tags_are_shown_page_by_page(operator, site):
    site.known = {one.name: one for one in (tag(f"d-{n}.x", f"点 {n}", "", 0, 1) for n in range(10_000))}
    text = (await operator.get("/values?page=100")).text
    assert "共 10000 个数据点" in text
    assert "第 100 / 100 页" in text
    assert text.count('class="tag"') == 100


@pytest.mark.parametrize("page", ["0", "-1", "x", "999999999999", "²"])
async def test_number_of_a_page_that_is_none_shows_one(operator, page):
    assert (await operator.get("/", params={"page": page})).status_code == 200


async def test_equipment_shows_buses_instruments_and_outputs_with_their_faults(operator):
    text = (await operator.get("/equipment")).text
    for said in ("/dev/ttyUSB0 cannot be opened", "1 / 1 台仪表异常", "unit 5 does not answer", "好 98 · 坏 1 · 漏 1"):
        assert said in text
    assert "坏值 1 / 2" in text


async def test_gateway_shows_who_it_is_its_link_and_its_spool(operator):
    text = (await operator.get("/gateway")).text
    for said in (
        "gw-yufu-0012", "yufu-chem", "4c4c4544-0042", "37", "已退回上一有效版本", "bus far", "版本 38：",
        "守时，未同步", "broken pipe", "链路过慢", "20 kB",
        "待发 9000", "412 MB", "张三",
    ):  # fmt: skip
        assert said in text


async def test_gateway_without_anything_shows_that_there_is_nothing(operator, site):
    site.raised, site.known, site.newest, site.instruments = {}, {}, {}, ()
    assert "没有报警" in (await operator.get("/")).text
    assert "没有数据点" in (await operator.get("/values")).text
    assert (await operator.get("/equipment")).status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "/sign-in"])
async def test_english_pages_have_no_chinese_but_what_the_configuration_says(operator, site, path):
    site.plate = type(site.plate)(
        gateway="gw-yufu-0012", title="Tanks", site="yufu", sector="chemical", machine="m", release="0.1.0"
    )
    site.known = {name: tag(name, "", one.unit, one.low, one.high, **one.limits) for name, one in site.known.items()}
    site.instruments = tuple(type(one)(name=one.name, bus=one.bus) for one in site.instruments)
    await operator.post("/sign-out", data={"form_token": await token_of(operator)})
    if path != "/sign-in":
        await sign_in(operator, name="Zhang San")
    operator.cookies.set("language", "en")
    text = (await operator.get(path)).text
    assert 'lang="en"' in text
    assert re.findall(r"[\u4e00-\u9fff]+", text) == ["中文"]


async def test_language_and_theme_are_remembered_and_lead_back(operator):
    answer = await operator.get("/choose", params={"language": "en", "next": "/values?page=2"})
    assert answer.headers["Location"] == "/values?page=2"
    assert "<h1>Values</h1>" in (await operator.get("/values")).text
    await operator.get("/choose?theme=dark")
    assert 'data-theme="dark"' in (await operator.get("/")).text


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y", ""])
async def test_no_address_leads_elsewhere(operator, elsewhere):
    answer = await operator.get("/choose", params={"language": "en", "next": elsewhere})
    assert answer.headers["Location"] == "/"
    assert "X" not in answer.headers


@pytest.mark.parametrize("language", ["klingon", "en; Path=/x", "en\r\nX: y"])
async def test_language_that_is_none_is_not_kept(operator, language):
    assert "Set-Cookie" not in (await operator.get("/choose", params={"language": language})).headers


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{0}{name}"


@pytest.mark.parametrize("path", [*PATHS[:4], "hostile"])
async def test_hostile_names_stay_text(operator, site, path):
    name = f"{HOSTILE}:high"
    site.raised[name] = alarm(name, title=HOSTILE, source=HOSTILE, outputs=(HOSTILE,), value=HOSTILE)
    site.known["t-101.level"] = tag("t-101.level", HOSTILE, HOSTILE, 0, 100)
    site.instruments = (*site.instruments, type(site.instruments[0])(name=HOSTILE, title=HOSTILE, bus=HOSTILE))
    site.plate = type(site.plate)(
        gateway=HOSTILE, title=HOSTILE, site=HOSTILE, sector=HOSTILE, machine=HOSTILE, release=HOSTILE
    )
    answer = await (operator.get("/alarm", params={"name": name}) if path == "hostile" else operator.get(path))
    assert answer.status_code == 200
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>" not in answer.text
    assert "<img" not in answer.text


# what is asked


async def test_acknowledgement_names_the_occurrence_and_who_and_where(operator, site):
    answer = await operate(operator, action="acknowledge", next="/?page=1")
    assert answer.headers["Location"] == "/?page=1"
    (asked,) = site.asked
    assert (asked.action, asked.by, asked.where, asked.command) == ("acknowledge", "张三", "page", "")
    assert (asked.request.alarm, asked.request.occurrence) == ("gd-03.gas:high", 7)
    assert "已执行：确认 gd-03.gas:high" in (await operator.get("/")).text
    assert "已执行" not in (await operator.get("/")).text


async def test_refresh_by_the_script_does_not_use_up_what_is_to_be_told(operator):
    await operate(operator, action="acknowledge")
    await operator.get("/", headers={"X-Refresh": "1"})
    assert "已执行" in (await operator.get("/")).text


async def test_what_the_disk_does_not_take_is_told_as_such(operator, site):
    site.takes = False
    await operate(operator, action="acknowledge")
    assert "尚未写入磁盘" in (await operator.get("/")).text


async def test_shelving_takes_minutes_and_a_reason(operator, site):
    await operate(operator, action="shelve", minutes="45", comment=" 标定 ")
    assert (site.asked[0].request.minutes, site.asked[0].request.comment) == (45.0, "标定")


@pytest.mark.parametrize("minutes", ["", "-1", "nan", "inf", "x", "10081"])
async def test_minutes_that_are_none_shelve_nothing(operator, site, minutes):
    await operate(operator, action="shelve", minutes=minutes, comment="标定")
    assert not site.asked
    assert "分钟数应为" in (await operator.get("/")).text


@pytest.mark.parametrize("action", ["shelve", "remove"])
async def test_nothing_is_silenced_without_a_reason(operator, site, action):
    await operate(operator, action=action, minutes="30", comment="  ")
    assert not site.asked
    assert "请填写原因" in (await operator.get("/")).text


@pytest.mark.parametrize("action", ["unshelve", "reset", "restore"])
async def test_what_annunciates_again_needs_no_reason(operator, site, action):
    await operate(operator, action=action)
    assert site.asked[0].action == action


@pytest.mark.parametrize(
    "form", [{"action": "explode"}, {"action": "acknowledge", "occurrence": "x"}, {"action": "reset", "alarm": ""}]
)
async def test_form_that_no_page_of_ours_made_does_nothing(operator, site, form):
    assert (await operate(operator, **form)).status_code == 303
    assert not site.asked
    assert "操作没有执行" in (await operator.get("/")).text


async def test_refusal_is_told_with_its_reason(operator, site):
    site.refusal = "it was raised anew meanwhile"
    await operate(operator, action="acknowledge")
    text = (await operator.get("/")).text
    assert "报警没有接受：it was raised anew meanwhile" in text
    assert 'role="alert"' in text


@pytest.mark.parametrize("token", ["", "x", "令牌"])
async def test_form_without_the_token_of_the_session_does_nothing(operator, site, token):
    answer = await operator.post("/operate", data={"action": "acknowledge", "alarm": "a:high", "form_token": token})
    assert answer.status_code == 403
    assert not site.asked


async def test_form_of_another_site_does_nothing_even_with_the_token(operator, site):
    form = {"action": "acknowledge", "alarm": "a:high", "form_token": await token_of(operator)}
    answer = await operator.post("/operate", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert not site.asked


async def test_signing_out_needs_a_form_of_the_session(operator):
    await operator.post("/sign-out", data={"form_token": "x"})
    assert (await operator.get("/")).status_code == 200


# a flood


async def test_flood_of_a_thousand_shows_its_first_ten_first_and_says_how_many(operator, site):
    flood(site, 1000)
    text = (await operator.get("/")).text
    names = re.findall(r'data-alarm="([^"]+)"', text)
    assert names[:10] == [f"t-{number:04}.level:high" for number in range(10)]
    assert names[10] == "t-0995.level:high"
    assert len(names) == 50
    for said in ("共 1000 条", "1000 条未确认", "最先出现的 10 条", "第 1 个出现", "第 1 / 20 页"):
        assert said in text


async def test_every_alarm_of_a_flood_is_on_one_page(operator, site):
    flood(site, 1000)
    found: list[str] = []
    for page in range(1, 21):
        found += re.findall(r'data-alarm="([^"]+)"', (await operator.get(f"/?page={page}")).text)
    assert sorted(found) == sorted(site.raised)


# starting


async def test_address_that_is_taken_is_named(site):
    server = make_server(site, HASHED)
    port = await server.start("127.0.0.1", 0)
    with pytest.raises(EdgeError, match=rf"\[local\] listen 127.0.0.1:{port} cannot be had"):
        await make_server(site, HASHED).start("127.0.0.1", port)
    await server.stop()


async def test_certificate_that_is_none_is_named(site, tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(EdgeError, match=r"cert\.pem"):
        await make_server(site, HASHED, (tmp_path / "cert.pem", tmp_path / "key.pem")).start("127.0.0.1", 0)


async def test_page_is_served_by_https_with_a_secure_cookie(site, certificate):
    server = make_server(site, HASHED, certificate)
    port = await server.start("127.0.0.1", 0)
    context = ssl.create_default_context(cafile=str(certificate[0]))
    async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=context) as client:
        answer = await sign_in(client)
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert (await client.get("/")).status_code == 200
    await server.stop()


async def test_set_aside_alarms_do_not_count_as_waiting_for_somebody(operator, site):
    site.raised = {"a.b:high": alarm("a.b:high", standing=Standing.ACTIVE | Standing.UNACKNOWLEDGED | Standing.SHELVED)}
    assert "0 条未确认" in (await operator.get("/")).text


async def test_the_gateway_is_asked_in_its_own_loop_only(operator, site, monkeypatch):
    threads = set()
    monkeypatch.setattr(site, "now_ns", lambda: threads.add(threading.get_ident()) or 0)
    monkeypatch.setattr(site, "operate", lambda _: threads.add(threading.get_ident()) or "done")
    for path in PATHS:
        await operator.get(path)
    await operate(operator, action="acknowledge")
    assert threads == {threading.get_ident()}


async def test_what_is_set_aside_is_not_loud_and_is_acknowledged_on_its_own_page_only(operator):
    text = (await operator.get("/")).text
    row = text[text.index('data-alarm="t-101.pressure:high"') - 200 :]
    assert 'class="p2 aside"' in row
    assert "ack-t-101.pressure" not in text
    assert 'id="do-acknowledge"' in (await operator.get("/alarm?name=t-101.pressure:high")).text


GARBLED = (
    b"POST /sign-in HTTP/1.1\r\nContent-Length: 14\r\n\r\nname=%zz&code=%",
    b"POST /sign-in HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nContent-Length: 90\r\n\r\ntoo short",
    b"POST /operate HTTP/1.1\r\nContent-Length: 6\r\n\r\n\xff\xfe=%ff",
    b"POST /sign-in HTTP/1.1\r\nContent-Length: 99\r\n\r\n" + b"a=1&" * 33,
    b"GET\r\n\r\n",
    b"\x16\x03\x01\xff\xff",
    b"GET / HTTP/1.1\r\nCookie: ;;=\xff=;a\r\n\r\n",
    b"GET /alarm?%ff%zz=% HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
)


@pytest.mark.parametrize("octets", GARBLED)
async def test_what_is_no_request_is_refused_without_a_traceback(stranger, capfd, octets):
    reader, writer = await asyncio.open_connection("127.0.0.1", stranger.base_url.port)
    writer.write(octets)
    writer.write_eof()
    status = (await reader.read()).partition(b"\r\n")[0]
    writer.close()
    assert status.split()[1] in (b"400", b"401", b"422", b"303")
    assert (await stranger.get("/sign-in")).status_code == 200
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_stopping_ends_the_connections_of_those_who_say_nothing(site):
    server = make_server(site, HASHED)
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.05)
    await server.stop()
    assert await reader.read() == b""
    writer.close()


async def test_connections_are_bounded_and_the_next_one_is_served_when_one_ends(stranger, monkeypatch):
    monkeypatch.setattr("edge.local.server.CONNECTIONS_MOST", 2)
    idle = [await asyncio.open_connection("127.0.0.1", stranger.base_url.port) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(httpx.TransportError):
        await stranger.get("/sign-in")
    idle[0][1].close()
    await asyncio.sleep(0.05)
    assert (await stranger.get("/sign-in")).status_code == 200
    idle[1][1].close()


async def test_alarms_of_one_title_are_told_apart_by_their_tags(operator, site):
    site.raised = {
        name: alarm(name, title="储罐液位 高高") for name in ("t-101.level:high-high", "t-101.temperature:high-high")
    }
    text = (await operator.get("/")).text
    assert "t-101 液位 储罐液位 高高" in text
    assert "t-101 温度 储罐液位 高高" in text
