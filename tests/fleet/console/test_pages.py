"""The console over HTTP, without a browser: who may see what, and what the answers say."""

from __future__ import annotations

import re
import shlex

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from fleet import cli
from fleet.accounts import service as accounts
from fleet.accounts.authorization import ROUTES, Permission
from fleet.accounts.models import Role
from fleet.alarms import journal, own
from fleet.alarms.operations import NAMES
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.commands import service as commands
from fleet.commands.keys import found_key
from fleet.committer import Committer
from fleet.console import views
from fleet.gateways import service as gateways
from fleet.ledger.models import Loss, Tally
from fleet.metrics import IngestMetrics
from fleet.readings import store
from fleet.readings.models import Quarantined
from tests.fleet import edge
from tests.fleet.conftest import Clock
from wire.codec import Message
from wire.command import DONE
from wire.health import Health, LaneHealth, LinkHealth
from wire.record import ActionRecord, AlarmRecord, AuditRecord, Lane, Record, StandingRecord
from wire.topics import Up

PASSWORD = "correct horse battery"


@pytest.fixture
def app(services: Services) -> Flask:
    with services.database.writing() as session:
        accounts.add(session, "wang", PASSWORD, Role.OPERATOR, services.clock())
    return create_app(services)


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    return app.test_client()


def token(client: FlaskClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert found is not None
    return found.group(1)


def sign_in(client: FlaskClient, password: str = PASSWORD, target: str = "") -> tuple[int, str]:
    form = {"name": "wang", "password": password, "csrf_token": token(client)}
    answer = client.post(f"/sign-in{target}", data=form)
    return answer.status_code, answer.headers.get("Location", "")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert sign_in(client) == (302, "/")
    return client


def test_every_page_wants_a_sign_in(app: Flask, stranger: FlaskClient) -> None:
    routes = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("console.")]
    assert len(routes) >= 12
    for rule in routes:
        if ROUTES[rule.endpoint] is Permission.OPEN or "GET" not in (rule.methods or ()):
            continue
        path = rule.rule.replace("<name>", "gw-yufu-0001").replace("<tag>", "a.x").replace("<int:number>", "1")
        answer = stranger.get(path)
        assert answer.status_code == 302, path
        assert answer.headers["Location"].startswith("/sign-in"), path


@pytest.mark.parametrize("headers", [{"Accept": "text/event-stream"}, {"X-Live": "1"}])
def test_script_of_a_stranger_gets_401_and_no_page(stranger: FlaskClient, headers: dict[str, str]) -> None:
    assert stranger.get("/events", headers=headers).status_code == 401


def test_form_without_our_token_is_refused(stranger: FlaskClient) -> None:
    answer = stranger.post("/sign-in", data={"name": "wang", "password": PASSWORD})
    assert answer.status_code == 400
    assert stranger.get("/").status_code == 302


def test_sixth_failure_has_to_wait_even_with_the_right_password(stranger: FlaskClient) -> None:
    assert [sign_in(stranger, "wrong password")[0] for _ in range(5)] == [401] * 5
    form = {"name": "wang", "password": PASSWORD, "csrf_token": token(stranger)}
    answer = stranger.post("/sign-in", data=form)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 301


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "evil", ""]
)
def test_sign_in_leads_nobody_to_another_host(stranger: FlaskClient, target: str) -> None:
    assert sign_in(stranger, target=f"?next={target}") == (302, "/")


def test_sign_in_leads_to_the_page_that_was_asked_for(stranger: FlaskClient) -> None:
    assert sign_in(stranger, target="?next=/alarms?state=journal") == (302, "/alarms?state=journal")


def test_answers_tell_the_browser_what_pages_may_do(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", answer.text)


def test_session_cookie_is_out_of_reach_of_scripts(stranger: FlaskClient) -> None:
    cookie = stranger.get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_assets_are_kept_for_good_by_their_content(client: FlaskClient) -> None:
    found = re.search(r"/assets/app\.css\?v=\w+", client.get("/").text)
    assert found is not None
    answer = client.get(found.group(0))
    assert "immutable" in answer.headers["Cache-Control"]
    answer.close()


def test_unknown_page_is_told_in_the_language_of_the_reader(client: FlaskClient) -> None:
    assert "页面不存在" in client.get("/nowhere").text
    client.set_cookie("language", "en")
    answer = client.get("/gateways/gw-nowhere-1")
    assert answer.status_code == 404
    assert "Nothing here" in answer.text


def test_commands_that_an_empty_fleet_teaches_are_understood(app: Flask, client: FlaskClient) -> None:
    with app.test_request_context():
        commands = views.teach()
    page = client.get("/").text
    for name in ("site", "register"):
        assert commands[name].split(" --data")[0] in page
    assert commands["relay"].split(" --data")[0] in client.get("/relay").text
    for name in ("site", "register", "relay"):
        program, *arguments = shlex.split(commands[name])
        assert program == "fengsui-fleet"
        cli.build_parser().parse_args(arguments)


def test_gateway_that_never_spoke_has_a_page(client: FlaskClient, services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "罐区", None, services.clock())
    answer = client.get("/gateways/gw-yufu-0001")
    assert answer.status_code == 200
    assert "它从未连接过" in answer.text
    assert "从未上线" in client.get("/gateways").text


@pytest.mark.parametrize(
    "query", ["sort=nonsense", "state=nonsense", "page=-3", "page=x", "sector=none", "sort=-alarms"]
)
def test_odd_filters_are_no_error(client: FlaskClient, query: str) -> None:
    assert client.get(f"/gateways?{query}").status_code == 200


@pytest.mark.parametrize("query", ["state=nonsense", "priority=x", "priority=9", "before=-1", "gateway=none"])
def test_odd_alarm_filters_are_no_error(client: FlaskClient, query: str) -> None:
    assert client.get(f"/alarms?{query}").status_code == 200


def test_streams_leave_threads_for_pages(client: FlaskClient, app: Flask) -> None:
    slots = app.extensions["fengsui-console"].slots
    while slots.take():
        pass
    answer = client.get("/events")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert client.get("/").status_code == 200


def test_ledger_shows_what_was_lost_and_why(client: FlaskClient, services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
        for first in (1, 100):
            session.add(
                Loss(
                    gateway="gw-yufu-0001",
                    epoch="00000001-0123",
                    lane="M",
                    first=first,
                    last=first + 49,
                    reason="quota" if first == 1 else "<b>new</b>",
                    from_ns=services.clock() if first == 1 else None,
                    to_ns=None,
                    received_ns=services.clock(),
                )
            )
    page = client.get("/gateways/gw-yufu-0001/losses").text
    assert "缓存已满" in page
    assert "&lt;b&gt;new&lt;/b&gt;" in page  # a reason that a later gateway gives is shown as it is
    assert "1 – 50" in page
    assert "100" in page
    assert "时间未知" in page
    assert client.get("/gateways/gw-nobody-1/losses").status_code == 404


def test_quarantine_shows_what_could_not_be_read_page_by_page(client: FlaskClient, services: Services) -> None:
    address = "/gateways/gw-yufu-0001/quarantine"
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
    assert "隔离区为空" in client.get(address).text
    with services.database.writing() as session:
        store.quarantine_message(session, "gw-yufu-0001", "batch", "not a <Batch>", b"\x00<b>", services.clock())
        for number in range(50):
            reason = f"reason {number}"
            store.quarantine_message(session, "gw-yufu-0001", "hello", reason, bytes(100), services.clock())
        session.add(
            Quarantined(
                gateway="gw-yufu-0001", kind="batch", epoch="00000001-0123456789", lane="M", seq=1234, reason="CRC",
                body=b"", received_ns=services.clock(),
            )
        )  # fmt: skip
    page = client.get(address).text
    assert "52" in page
    assert "1,234" in page
    assert "00000001-0123" in page
    assert "00 " * 31 + "00" in page  # 32 octets are shown, not 100
    assert "00 " * 32 not in page
    assert "reason 0<" not in page
    found = re.search(r'href="(/gateways/gw-yufu-0001/quarantine\?before=\d+)"', page)
    assert found is not None
    older = client.get(found.group(1)).text
    assert "not a &lt;Batch&gt;" in older
    assert "00 3c 62 3e" in older
    assert "reason 1<" not in older
    assert 'rel="next"' not in older
    octets = re.findall(r'href="(/api/quarantine/\d+/octets)"', older)
    answer = client.get(octets[-1])
    assert answer.data == b"\x00<b>"
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    client.set_cookie("language", "en")
    assert "First octets" in client.get(address).text
    assert client.get("/gateways/gw-nobody-1/quarantine").status_code == 404


def test_ledger_and_gateway_lead_to_quarantine_and_counts(client: FlaskClient, services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
        store.quarantine_message(session, "gw-yufu-0001", "batch", "no", b"x", services.clock())
        gateway = gateways.get(session, "gw-yufu-0001")
        lanes = {Lane.MEASUREMENTS: LaneHealth(assigned=1, delivered=1, pending=0, tombstoned=0)}
        health = Health(release="", uptime_s=1, clock="told", lanes=lanes, groups={}, buses={}, outputs={})
        gateways.note_health(gateway, health, services.clock())
    assert "/gateways/gw-yufu-0001/quarantine" in client.get("/gateways/gw-yufu-0001/losses").text
    page = client.get("/gateways/gw-yufu-0001").text
    assert "/gateways/gw-yufu-0001/quarantine" in page
    assert "/gateways/gw-yufu-0001/counts" in page
    assert "由平台告知" in page


def test_counts_are_shown_by_hour_and_lane_a_day_at_a_time(client: FlaskClient, services: Services) -> None:
    hour_ns = 3600 * 10**9
    now_hour = services.clock() // hour_ns * hour_ns
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
        for hours, records in ((0, 1111), (23, 2222), (24, 3333), (500, 4444)):
            at_ns = now_hour - hours * hour_ns
            session.add(
                Tally(
                    gateway="gw-yufu-0001", lane="M", hour_ns=at_ns, records=records, samples=1, quarantined=0, lost=0
                )
            )
    shown = []
    address: str | None = "/gateways/gw-yufu-0001/counts"
    while address is not None:
        page = client.get(address).text
        shown.append(re.findall(r"\b(\d),\1{3}\b", page))
        found = re.search(r'href="(/gateways/gw-yufu-0001/counts\?before=\d+)"', page)
        address = found.group(1) if found else None
    assert shown == [["1", "2"], ["3"], ["4"]]
    assert "没有提交" in client.get("/gateways/gw-yufu-0001/counts?before=0").text
    assert client.get("/gateways/gw-nobody-1/counts").status_code == 404


@pytest.mark.parametrize(
    ("alarm", "word", "leads"),
    [(own.CLONE, "有两台机器使用同一身份", ""), (own.UNREADABLE, "发来的内容无法读取", "/quarantine")],
)
def test_alarm_of_the_fleets_own_leads_to_where_it_is_told_of(
    client: FlaskClient, services: Services, alarm: own.Own, word: str, leads: str
) -> None:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
        own.raise_alarm(session, "gw-yufu-0001", alarm, "m-1, m-2", services.clock())
    for path in ("/alarms", "/alarms?state=journal", "/"):
        page = client.get(path).text
        assert word in page, path
        assert f'href="/gateways/gw-yufu-0001{leads}"' in page, path


def test_ledger_without_a_loss_says_so(client: FlaskClient, services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
    assert "没有丢失" in client.get("/gateways/gw-yufu-0001/losses").text
    assert "/gateways/gw-yufu-0001/losses" in client.get("/gateways/gw-yufu-0001").text


def test_alarm_of_the_spool_leads_to_the_ledger(client: FlaskClient, services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "鱼复", None, services.clock())
        record = AlarmRecord(1, None, "spool:losing-data", "spool", "losing-data", "raised", 2, 40)
        journal.note(session, "gw-yufu-0001", 1, record, services.clock(), services.clock())
    for path in ("/alarms", "/alarms?state=journal", "/"):
        page = client.get(path).text
        assert "网关缓存" in page, path
        assert "/gateways/gw-yufu-0001/losses" in page, path


def speak(services: Services, kind: Up, message: Message) -> None:
    Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock).commit([edge.up(kind, message)])


@pytest.fixture
def commanded(services: Services, client: FlaskClient) -> FlaskClient:
    """Signed in, with a gateway that carries out commands."""
    found_key(services.settings.data_dir)
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "", None, services.clock())
    speak(services, Up.REPORTED, edge.reported(commands=("later-one", "report")))
    return client


def order(client: FlaskClient, command: str) -> tuple[int, str]:
    form = {"command": command, "csrf_token": csrf(client)}
    answer = client.post(f"/gateways/{edge.GATEWAY}/commands", data=form)
    return answer.status_code, answer.headers.get("Location", "")


def csrf(client: FlaskClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/").text)
    assert found is not None
    return found.group(1)


def test_command_from_the_page_is_pending_until_the_gateway_answers(commanded: FlaskClient, services: Services) -> None:
    page = commanded.get(f"/gateways/{edge.GATEWAY}").text
    assert 'value="report"' in page
    assert "later-one" not in page, "a command of a later release has no words here"
    assert order(commanded, "report") == (302, f"/gateways/{edge.GATEWAY}")
    page = commanded.get(f"/gateways/{edge.GATEWAY}").text
    assert "重新上报" in page
    assert "待执行" in page
    assert "wang" in page
    with services.database.writing() as session:
        (row,) = commands.list_newest(session, edge.GATEWAY, 5)
        answer = AuditRecord(1, None, DONE, "report of wang: reported again", row.id)
        commands.note_answer(session, edge.GATEWAY, 1, answer, services.clock())
    page = commanded.get(f"/gateways/{edge.GATEWAY}").text
    assert "已完成" in page
    assert "reported again" in page


def test_command_that_no_page_offers_or_the_gateway_lacks_is_refused(commanded: FlaskClient) -> None:
    assert order(commanded, "explode")[0] == 400
    assert order(commanded, "reconnect")[0] == 400
    assert commanded.post(f"/gateways/{edge.GATEWAY}/commands", data={"command": "report"}).status_code == 400


@pytest.mark.usefixtures("commanded")
def test_auditor_sees_commands_and_gives_none(app: Flask, services: Services) -> None:
    with services.database.writing() as session:
        accounts.add(session, "audit", PASSWORD, Role.AUDITOR, services.clock())
    auditor = app.test_client()
    form = {"name": "audit", "password": PASSWORD, "csrf_token": token(auditor)}
    assert auditor.post("/sign-in", data=form).status_code == 302
    assert 'value="report"' not in auditor.get(f"/gateways/{edge.GATEWAY}").text
    assert order(auditor, "report")[0] == 403


def test_page_says_that_only_alarms_are_sent_and_what_the_link_has_left(
    commanded: FlaskClient, services: Services
) -> None:
    link = LinkHealth(sent_bytes=5_000_000, alarms_only="budget", budget_left_bytes=-100, overdrawn_bytes=100)
    health = Health(release="1", uptime_s=1, clock="synced", lanes={}, groups={}, buses={}, outputs={}, link=link)
    speak(services, Up.HEALTH, health)
    page = commanded.get(f"/gateways/{edge.GATEWAY}").text
    assert "仅发送报警：链路流量配额已用完。" in page
    assert "已发 5" in page
    commanded.set_cookie("language", "en")
    assert "Only alarms are sent: the budget of its link is used up." in commanded.get(f"/gateways/{edge.GATEWAY}").text


# alarms


def alarmed(services: Services, *records: Record) -> None:
    """A gateway that takes requests raises what is told."""
    found_key(services.settings.data_dir)
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "罐区", None, services.clock())
    speak(services, Up.REPORTED, edge.reported(commands=NAMES))
    tell(services, *records)


def tell(services: Services, *records: Record) -> None:
    with services.database.writing() as session:
        for record in records:
            journal.note(session, edge.GATEWAY, 1, record, services.clock(), services.clock())


def raised(number: int = 1) -> AlarmRecord:
    return AlarmRecord(
        1, None, f"tank-{number:04}.level:high", f"tank-{number:04}.level", "high", "raised", 2, 91.0, 90.0,
        standing=3, occurrence=77,
    )  # fmt: skip


def pick(number: int = 1, occurrence: int = 77) -> str:
    return f"{edge.GATEWAY} {occurrence} tank-{number:04}.level:high"


def operate(client: FlaskClient, **form: object) -> int:
    answer = client.post("/alarms/operate", data={"csrf_token": csrf(client), "next": "/alarms", **form})
    return answer.status_code


def test_acknowledgement_is_pending_until_the_gateways_record(client: FlaskClient, services: Services) -> None:
    alarmed(services, raised())
    page = client.get("/alarms").text
    assert "未确认" in page
    assert f'name="acknowledge" value="{pick()}"' in page
    assert operate(client, acknowledge=pick()) == 302
    page = client.get("/alarms").text
    assert "待网关确认" in page
    assert "未确认" in page, "it is the gateway that decides"
    with services.database.reading() as session:
        (row,) = commands.list_newest(session, edge.GATEWAY, 5)
        assert row.arguments["occurrence"] == 77
    tell(
        services,
        StandingRecord(
            2, None, "tank-0001.level:high", "tank-0001.level", "high", "acknowledged", 2, 1, occurrence=77, by="wang",
            where="console", command=row.id,
        ),
    )  # fmt: skip
    page = client.get("/alarms").text
    assert "已确认" in page
    assert "待网关确认" not in page
    page = client.get("/alarms?state=journal").text
    assert "wang" in page
    assert "控制台" in page


def test_several_are_acknowledged_at_once(client: FlaskClient, services: Services) -> None:
    alarmed(services, *(raised(number) for number in range(1, 4)))
    assert operate(client, action="acknowledge", pick=[pick(1), pick(3)], comment="巡检") == 302
    with services.database.reading() as session:
        asked = {row.arguments["alarm"] for row in commands.list_newest(session, edge.GATEWAY, 9)}
    assert asked == {"tank-0001.level:high", "tank-0003.level:high"}


def test_what_is_refused_is_told_on_the_list(client: FlaskClient, services: Services) -> None:
    alarmed(services, raised())
    assert operate(client, action="shelve", pick=pick(), minutes="60") == 302
    assert "1 条报警未变更" in client.get("/alarms").text
    assert operate(client, action="acknowledge") == 302
    assert "请至少选择一条报警" in client.get("/alarms").text


@pytest.mark.parametrize(
    "form", [{"action": "explode", "pick": "x"}, {"action": "acknowledge", "pick": "x"}, {"acknowledge": "a b c d"}]
)
def test_odd_requests_are_refused(client: FlaskClient, services: Services, form: dict[str, str]) -> None:
    alarmed(services, raised())
    assert operate(client, **form) == 400
    assert client.post("/alarms/operate", data={"acknowledge": pick()}).status_code == 400, "no token"


def test_auditor_is_offered_nothing_and_refused(app: Flask, services: Services) -> None:
    alarmed(services, raised())
    with services.database.writing() as session:
        accounts.add(session, "audit", PASSWORD, Role.AUDITOR, services.clock())
    auditor = app.test_client()
    form = {"name": "audit", "password": PASSWORD, "csrf_token": token(auditor)}
    assert auditor.post("/sign-in", data=form).status_code == 302
    page = auditor.get("/alarms").text
    assert "tank-0001" in page
    assert 'name="acknowledge"' not in page
    assert operate(auditor, acknowledge=pick()) == 403


def test_flood_is_paged_and_tells_what_came_first(client: FlaskClient, services: Services) -> None:
    alarmed(services, *(raised(number) for number in range(1, 1001)))
    page = client.get("/alarms").text
    assert page.count('name="pick"') == 100
    assert "共 1,000 条报警" in page
    assert "1,000 条报警，最先触发的是" in page
    first = page[page.index('<ol class="firstout">') : page.index("</ol>")]
    assert [f"tank-{number:04}" in first for number in (1, 10, 11)] == [True, True, False]
    assert client.get("/").text.count("tank-") < 200, "the first page shows the most urgent only"


def test_journal_says_what_a_gateway_told_once_and_why_an_output_failed(
    client: FlaskClient, services: Services
) -> None:
    alarmed(
        services,
        AuditRecord(1, None, DONE, "report of wang: reported again"),
        ActionRecord(2, None, "siren", "on", "t:high", 3, "no reply from unit 7"),
    )
    page = client.get("/alarms?state=journal").text
    assert page.count("report of wang: reported again") == 1
    assert page.count("no reply from unit 7") == 1


def test_journal_leaves_as_a_table(client: FlaskClient, services: Services) -> None:
    alarmed(services, raised())
    answer = client.get("/alarms/journal.csv?kind=raised&from=1900-01-01&to=9999-12-31")
    assert answer.mimetype == "text/csv"
    assert "tank-0001.level:high" in answer.text


def test_statistics_name_the_alarms_and_the_marks(client: FlaskClient, services: Services, clock: Clock) -> None:
    assert "没有触发过报警" in client.get("/alarms/statistics").text
    alarmed(services, *(raised(number) for number in range(1, 13)))
    clock.advance(1)
    page = client.get("/alarms/statistics?days=1").text
    assert "150 条以内可接受，最多 300 条" in page
    assert "tank-0001.level" in page
    found = client.get("/api/alarms/statistics?days=1").json
    assert (found["raised"], found["per_day"], found["peak"], len(found["floods"])) == (12, 12.0, 12, 1)
