"""The pages of configurations and templates over HTTP: every form is sent as the page before it wrote it."""

from __future__ import annotations

import copy
import io
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login.utils import _create_identifier

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.configs import service as configs
from fleet.configs import templates
from fleet.configs.sending import write_toml
from fleet.gateways import service as gateways
from tests.fleet import edge
from tests.fleet.conftest import Clock
from tests.fleet.scene import Scene
from tests.fleet.test_config_api import DOCUMENT, OTHER
from tests.fleet.test_config_diff import CONFIG
from wire.topics import Up
from wire.twin import Reported

HERE = f"/gateways/{edge.GATEWAY}/configuration"


class Forms(HTMLParser):
    """The forms of a page: {action: [(name, value)]}, with everything that is filled in or checked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: dict[str, list[tuple[str, str]]] = {}
        self._here: list[tuple[str, str]] | None = None
        self._area: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = dict(attrs)
        if tag == "form":
            self._here = self.forms.setdefault(found.get("action", ""), [])
        elif self._here is not None and found.get("name"):
            if tag == "textarea":
                self._area = found["name"]
                self._here.append((self._area, ""))
            elif tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
                self._here.append((found["name"], found.get("value", "")))

    def handle_data(self, data: str) -> None:
        if self._area and self._here:
            name, value = self._here[-1]
            self._here[-1] = (name, value + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._here = None
        elif tag == "textarea":
            self._area = None


class Console:
    """A browser with the account of an operator."""

    def __init__(self, app: Flask, scene: Scene, client: FlaskClient) -> None:
        self.app, self.scene, self.client = app, scene, client
        self.text = ""
        self.status = 0

    def open(self, path: str) -> str:
        return self._take(self.client.get(path, follow_redirects=True))

    def send(self, action: str, **changes: Any) -> str:
        fields: dict[str, Any] = {}
        for name, value in Forms(self.text).forms[action]:
            fields.setdefault(name, []).append(value)
        fields.update({name.replace("__", ":"): value for name, value in changes.items()})
        return self._take(self.client.post(action, data=fields, follow_redirects=True))

    def _take(self, answer: Any) -> str:
        self.status, self.text = answer.status_code, answer.text
        return self.text

    def newest(self, gateway: str = edge.GATEWAY) -> Any:
        with self.scene.services.database.reading() as session:
            row = configs.latest(session, gateway)
            return row and (row.version, row.config, row.author, row.template, row.template_version)

    def put(self, config: dict[str, Any], expected: int) -> None:
        with self.scene.services.database.writing() as session:
            configs.put(session, edge.GATEWAY, config, expected, "li", self.scene.services.clock())


@pytest.fixture
def console(services: Services) -> Console:
    scene = Scene(services)
    with services.database.writing() as session:
        accounts.add(session, "wang", None, Role.OPERATOR, services.clock())
        accounts.add(session, "audit", None, Role.AUDITOR, services.clock())
        gateways.register(session, OTHER, "", None, services.clock())
    for name in (edge.GATEWAY, OTHER):
        reported = Reported(version=0, release="0.1.0", config=CONFIG)
        scene.committer.commit([edge.up(Up.REPORTED, reported, gateway=name)])
    app = create_app(services)
    return Console(app, scene, sign_in(app, services, "wang"))


def sign_in(app: Flask, services: Services, name: str) -> FlaskClient:
    client = app.test_client()
    client.set_cookie("language", "en")
    with services.database.reading() as session:
        identity = accounts.identify(accounts.get(session, name))
    with app.test_request_context("/", environ_base=client.environ_base), client.session_transaction() as kept:
        kept.update(_user_id=identity.get_id(), _fresh=True, _id=_create_identifier())
    return client


def changed_text() -> str:
    config = copy.deepcopy(CONFIG)
    config["device"][0]["group"][0]["tag"][0]["alarm"][0]["limit"] = 75.0
    return write_toml(config)


def test_text_is_edited_previewed_and_sent_with_the_version_that_was_seen(console: Console) -> None:
    console.open(f"{HERE}/edit")
    assert "limit = 80.0" in console.text, "it begins with what runs"
    console.send(f"{HERE}/preview", text=changed_text())
    assert "device tank › group fast › tag level › alarm high" in console.text
    assert "<del>80.0</del>" in console.text
    assert "<ins>75.0</ins>" in console.text
    assert console.newest() is None, "nothing is sent by looking"
    console.send(HERE)
    assert console.newest()[:1] + console.newest()[2:] == (1, "wang", "", None)
    assert "version 1" in console.text


def test_mistake_is_told_with_its_place_and_there_is_no_way_to_send_it(console: Console) -> None:
    console.open(f"{HERE}/edit")
    console.send(f"{HERE}/preview", text='buss = []\n[[bus]]\nname = "a"\nkind = "modbuss"\n')
    assert "2 mistakes" in console.text
    assert "bus[a].kind" in console.text
    assert HERE not in Forms(console.text).forms
    console.send(f"{HERE}/edit")
    assert "modbuss" in console.text, "the text is there to be corrected"


def test_what_is_no_toml_is_told_and_the_text_kept(console: Console) -> None:
    console.open(f"{HERE}/edit")
    console.send(f"{HERE}/preview", text="bus = = 1")
    assert console.status == 422
    assert "this is not TOML" in console.text
    assert "bus = = 1" in console.text


def test_configuration_that_was_changed_meanwhile_is_shown_anew_before_it_is_sent(console: Console) -> None:
    console.open(f"{HERE}/edit")
    console.send(f"{HERE}/preview", text=changed_text())
    console.put({}, 0)
    console.send(HERE)
    assert console.status == 409
    assert "is at version 1, not 0" in console.text
    assert console.newest()[0] == 1
    console.send(HERE)
    assert console.newest()[0] == 2


def test_earlier_version_is_restored_by_way_of_a_preview(console: Console) -> None:
    console.put(CONFIG, 0)
    console.put({}, 1)
    console.open(HERE)
    console.send(f"{HERE}/preview", restore="1")
    assert "device tank" in console.text
    console.send(HERE)
    assert console.newest()[:3] == (3, CONFIG, "wang")


def test_page_tells_a_refusal_a_trial_and_who_never_answered(console: Console, clock: Clock) -> None:
    console.put(CONFIG, 0)
    told = Reported(
        version=0, release="0.1.0", refused=1, reason="not well again: bus plc", trial="returned", tried=1,
        trial_ns=clock(), unanswered=("device gas on plc",),
    )  # fmt: skip
    console.scene.committer.commit([edge.up(Up.REPORTED, told)])
    page = console.open(HERE)
    for said in ("given up for the last good one", "not well again: bus plc", "device gas on plc", "device tank"):
        assert said in page
    drift = console.open("/configurations")
    assert "given up for the last good one" in drift
    assert "runs its own file" in drift
    assert "1 gateway does not run what the fleet wants" in console.open("/")


def add_template(console: Console, document: str = DOCUMENT) -> None:
    console.open("/templates")
    console.send("/templates", key="tank", title="Tank farm", document=document)


def test_template_fills_a_gateway_by_its_variables(console: Console) -> None:
    add_template(console)
    console.open(f"{HERE}/edit?template=tank")
    console.send(f"{HERE}/preview", var__host="10.0.0.1")
    assert "tcp://10.0.0.1:502" in console.text
    console.send(HERE)
    assert console.newest()[3:] == ("tank", 1)
    console.open(f"{HERE}/edit?template=tank")
    assert 'value="10.0.0.1"' in console.text, "what the gateway has stays"


def test_missing_variable_is_told_beside_its_field(console: Console) -> None:
    add_template(console)
    console.open(f"{HERE}/edit?template=tank")
    console.send(f"{HERE}/preview", var__limit="many")
    assert console.status == 422
    assert "variable &#39;host&#39;" in console.text
    assert "is missing" in console.text
    assert 'value="many"' in console.text


def test_template_that_changed_after_the_preview_is_looked_at_once_more(console: Console) -> None:
    add_template(console)
    console.open(f"{HERE}/edit?template=tank")
    preview = console.send(f"{HERE}/preview", var__host="10.0.0.1")
    add_template(console, DOCUMENT.replace("poll_s = 1.0", "poll_s = 2.0"))
    console.text = preview
    console.send(HERE)
    assert console.status == 409
    assert console.newest() is None
    console.send(HERE)
    assert console.newest()[3:] == ("tank", 2)


def test_template_goes_to_many_gateways_after_a_preview_of_each(console: Console) -> None:
    add_template(console)
    console.open("/templates/tank")
    console.send("/templates/tank/preview", gateway=[edge.GATEWAY, OTHER])
    assert console.text.count("is missing") == 2
    assert "Send to all" not in console.text
    filled = {f"var:{edge.GATEWAY}:host": "10.0.0.1", f"var:{OTHER}:host": "10.0.0.2"}
    apply = "/templates/tank/apply"
    page = copy.copy(console)
    fields = Forms(console.text).forms[apply]
    data: dict[str, Any] = {}
    for name, value in fields:
        data.setdefault(name, []).append(value)
    page._take(console.client.post("/templates/tank/preview", data={**data, **filled}))
    assert "Send to all 2 gateways" in page.text
    assert "tcp://10.0.0.2:502" in page.text
    page.send(apply, **{f"var__{OTHER}__host": "10.0.0.9"})
    assert page.status == 409, "nothing is sent that nobody has looked at"
    assert console.newest() is None
    page.send(apply)
    assert [console.newest(name)[3:] for name in (edge.GATEWAY, OTHER)] == [("tank", 1)] * 2
    assert "10.0.0.9" in page.text


def test_next_version_tells_which_gateways_are_behind(console: Console) -> None:
    test_template_fills_a_gateway_by_its_variables(console)
    console.open("/templates/tank")
    console.send("/templates", document=DOCUMENT.replace("unit = 1", "unit = 2"), title="Tank farm")
    assert "version 2" in console.text
    assert f'value="{edge.GATEWAY}" checked' in console.text
    assert "unit = 1" in console.open("/templates/tank?version=1")
    console.open("/templates/tank")
    console.send("/templates/tank/preview")
    assert "<ins>2</ins>" in console.text


def test_template_of_a_file_or_with_a_mistake(console: Console) -> None:
    console.open("/templates")
    console.send("/templates", key="From File", file=(io.BytesIO(DOCUMENT.encode()), "tank.toml"))
    assert (console.status, "is not a template" in console.text) == (422, True)
    console.open("/templates")
    console.send("/templates", key="file", file=(io.BytesIO(b"\xff\xfe"), "tank.toml"))
    assert "not UTF-8" in console.text
    console.open("/templates")
    console.send("/templates", key="file", file=(io.BytesIO(DOCUMENT.encode()), "tank.toml"))
    with console.scene.services.database.reading() as session:
        assert templates.get(session, "file").document == DOCUMENT


def test_who_may_only_read_sees_the_pages_and_no_way_to_change(console: Console, services: Services) -> None:
    add_template(console)
    console.put(CONFIG, 0)
    reader = sign_in(console.app, services, "audit")
    for path in (HERE, "/templates", "/templates/tank", "/configurations"):
        answer = reader.get(path)
        assert answer.status_code == 200
        assert set(Forms(answer.text).forms) <= {"/sign-out", "/preferences"}
    assert reader.get(f"{HERE}/edit").status_code == 403
