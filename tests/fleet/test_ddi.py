"""hawkBit's device interface, by what clients ask and by two clients that are not ours: swupdate, and rauc-hawkbit."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import aiohttp
import msgspec
import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.serving import make_server

from fleet.app import create_app
from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.ddi import views
from fleet.ddi.mapping import Feedback, Result, Status, find_step
from fleet.ddi.tokens import make_token
from fleet.gateways import service as gateways
from fleet.releases import service as releases
from fleet.releases.models import IMAGE
from fleet.releases.service import Made
from fleet.rollouts import actions
from fleet.rollouts.engine import Engine
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import AFTER
from tests.fleet.conftest import START_NS, Clock
from tests.fleet.swu import Signer

DOCUMENT = Path(__file__).parents[2] / "docs" / "operate" / "images.md"
EXAMPLE = re.compile(r"```\n(globals :.*?)```", re.DOTALL)
"""The configuration that the document gives."""
GATEWAY, OTHER = "gw-yufu-0001", "gw-yufu-0002"
BASE = f"/default/controller/v1/{GATEWAY}"


class Fleet:
    """A fleet with two gateways and an image."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.app: Flask = create_app(services)
        self.client = self.app.test_client()
        self.engine = Engine(services)
        with services.database.writing() as session:
            for name in (GATEWAY, OTHER):
                gateways.register(session, name, "", None, START_NS)
        (folder / "disk.swu").write_bytes(b"an image")
        self.publish(folder / "disk.swu", "1.0")

    def publish(self, path: Path, version: str, *hardware: str) -> None:
        with self.services.database.writing() as session:
            releases.add(self.services, session, path, "li", Made(IMAGE, version, hardware), "", older=False)

    def assign(self, version: str = "1.0", **options) -> int:
        with self.services.database.writing() as session:
            number = actions.assign(session, GATEWAY, IMAGE, version, "li", self.services.clock(), **options).id
        self.engine.turn()
        return number

    def cancel(self, action_id: int) -> None:
        with self.services.database.writing() as session:
            actions.cancel(session, actions.get(session, action_id), "li", "not today", self.services.clock())

    def action(self, action_id: int) -> UpdateAction:
        with self.services.database.reading() as session:
            return actions.get(session, action_id)

    def token(self, gateway: str = GATEWAY) -> str:
        return make_token(self.services.settings.secret_key, gateway)

    def ask(self, path: str = "", token: str | None = None, method: str = "GET", **options):
        headers = {"Authorization": f"TargetToken {self.token() if token is None else token}"}
        headers |= options.pop("headers", {})
        with self.client.open(f"{BASE}{path}", method=method, headers=headers, **options) as answer:
            body = answer.get_json() if answer.is_json else answer.data
            return answer.status_code, body, answer.headers

    def feedback(self, action_id: int, execution: str, finished: str = "none", kind: str = "deploymentBase"):
        told = {"id": str(action_id), "time": "x", "status": {"execution": execution, "result": {"finished": finished}}}
        return self.ask(f"/{kind}/{action_id}/feedback", method="POST", json=told)[0]


@pytest.fixture
def fleet(services: Services, tmp_path: Path) -> Fleet:
    settings = msgspec.structs.replace(services.settings, ddi_poll_s=1)
    return Fleet(replace(services, settings=settings), tmp_path)


def test_client_polls_describes_itself_and_is_told_of_nothing_more(fleet: Fleet) -> None:
    status, body, headers = fleet.ask()
    assert (status, set(body["_links"]), body["config"]) == (200, {"configData"}, {"polling": {"sleep": "00:00:01"}})
    assert fleet.ask("/configData", method="PUT", json={"mode": "merge", "data": {"hw": "a"}, "id": ""})[0] == 200
    _, body, headers = fleet.ask()
    assert body["_links"] == {}
    assert fleet.ask(headers={"If-None-Match": headers["ETag"]})[0] == 304


def test_deployment_has_one_chunk_of_one_artifact_whose_file_comes_in_ranges(fleet: Fleet) -> None:
    action_id = fleet.assign()
    links = fleet.ask()[1]["_links"]
    assert links["deploymentBase"]["href"].endswith(f"{BASE}/deploymentBase/{action_id}")
    deployment = fleet.ask(f"/deploymentBase/{action_id}")[1]["deployment"]
    assert (deployment["download"], deployment["update"]) == ("attempt", "attempt")
    ((artifact,),) = [chunk["artifacts"] for chunk in deployment["chunks"]]
    assert (artifact["filename"], artifact["size"]) == ("disk.swu", 8)
    assert set(artifact["hashes"]) == {"sha1", "md5", "sha256"}
    path = artifact["_links"]["download"]["href"].partition(BASE)[2]
    assert fleet.ask(path)[1] == b"an image"
    assert fleet.ask(path, headers={"Range": "bytes=3-"})[:2] == (206, b"image")
    assert fleet.ask(f"{path}.MD5SUM")[1].split()[1] == b"disk.swu"
    module = path.partition("/artifacts")[0]
    assert [one["filename"] for one in fleet.ask(f"{module}/artifacts")[1]] == ["disk.swu"]


@pytest.mark.parametrize(
    ("execution", "finished", "state"),
    [
        ("closed", "success", "finished"),
        ("closed", "none", "finished"),
        ("closed", "failure", "failed"),
        ("rejected", "none", "rejected"),
        ("proceeding", "none", "running"),
        ("scheduled", "none", "running"),
        ("resumed", "none", "running"),
        ("download", "none", "running"),
        ("downloaded", "none", "running"),
        ("canceled", "success", "cancelled"),
    ],
)
def test_feedback_moves_the_action(fleet: Fleet, execution: str, finished: str, state: str) -> None:
    action_id = fleet.assign(attempts_most=1)
    fleet.ask()
    assert fleet.feedback(action_id, execution, finished) == 200
    assert fleet.action(action_id).state == state
    is_closed = state not in ("running",)
    assert fleet.feedback(action_id, "proceeding") == (410 if is_closed else 200)
    links = fleet.ask()[1]["_links"]
    assert ("installedBase" in links) == (state == "finished")
    assert ("deploymentBase" in links) != is_closed


def test_failure_that_is_told_twice_because_the_answer_was_lost_takes_one_attempt(fleet: Fleet) -> None:
    action_id = fleet.assign(attempts_most=2)
    fleet.ask()
    for _ in range(3):
        assert fleet.feedback(action_id, "closed", "failure") == 200
    action = fleet.action(action_id)
    assert (action.state, action.attempt) == ("waiting", 2)


def test_every_execution_that_is_known_has_a_step_and_others_have_none() -> None:
    for execution in (*views.service.find_step.__globals__["UNDER_WAY"], "closed"):
        assert find_step(Feedback(Status(execution, Result("success")))) in AFTER
    assert find_step(Feedback(Status("flying"))) == ""


def test_cancellation_is_accepted_or_refused(fleet: Fleet) -> None:
    action_id = fleet.assign()
    fleet.ask()
    fleet.feedback(action_id, "proceeding")
    fleet.cancel(action_id)
    links = fleet.ask()[1]["_links"]
    assert "deploymentBase" not in links
    assert links["cancelAction"]["href"].endswith(f"/cancelAction/{action_id}")
    assert fleet.ask(f"/cancelAction/{action_id}")[1]["cancelAction"] == {"stopId": str(action_id)}
    assert fleet.feedback(action_id, "rejected", kind="cancelAction") == 200
    assert fleet.action(action_id).state == "running"
    fleet.cancel(action_id)
    assert fleet.feedback(action_id, "closed", "success", kind="cancelAction") == 200
    assert fleet.action(action_id).state == "cancelled"


def test_no_token_of_another_and_no_action_of_another_is_taken(fleet: Fleet) -> None:
    action_id = fleet.assign()
    assert fleet.ask(token="")[0] == 401
    assert fleet.ask(token=fleet.token(OTHER))[0] == 401
    with fleet.client.get(
        f"/default/controller/v1/{OTHER}/deploymentBase/{action_id}",
        headers={"Authorization": f"TargetToken {fleet.token(OTHER)}"},
    ) as answer:
        assert answer.status_code == 404
    assert fleet.client.get(f"/other/controller/v1/{GATEWAY}").status_code == 404
    assert fleet.client.get("/default/controller/v1/..%2f").status_code == 404
    for _ in range(views.FAILURES_MOST):
        fleet.ask(token="guess")
    assert fleet.ask()[0] == 429


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"status": 1}', b'{"status": {"execution": "flying"}}', b"\xff"])
def test_body_that_is_none_is_refused_in_words(fleet: Fleet, body: bytes) -> None:
    action_id = fleet.assign()
    status, said, _ = fleet.ask(f"/deploymentBase/{action_id}/feedback", method="POST", data=body)
    assert status == 400
    assert said["message"]


def test_attributes_are_bounded_merged_replaced_and_removed(fleet: Fleet) -> None:
    for mode, data in (("merge", {"a": "1"}), ("merge", {"b": "2"}), ("remove", {"a": ""})):
        assert fleet.ask("/configData", method="PUT", json={"mode": mode, "data": data})[0] == 200
    assert fleet.ask("/configData", method="PUT", json={"data": {str(n): "" for n in range(99)}})[0] == 400
    assert fleet.ask("/configData", method="PUT", json={"data": {"a": "x" * 999}})[0] == 400
    assert fleet.ask("/configData", method="PUT", json={"data": {}, "mode": "burn"})[0] == 400
    with fleet.services.database.reading() as session:
        assert views.service.find_client(session, GATEWAY).attributes == {"b": "2"}


def test_image_that_runs_after_all_counts_though_its_time_was_over(fleet: Fleet, clock: Clock) -> None:
    action_id = fleet.assign(timeout_s=60)
    fleet.ask()
    fleet.feedback(action_id, "proceeding")
    clock.advance(61)
    fleet.engine.turn()
    assert fleet.action(action_id).state == "timed-out"
    assert fleet.feedback(action_id, "closed", "failure") == 410
    assert fleet.feedback(action_id, "closed", "success") == 200
    assert fleet.action(action_id).state == "finished"


@pytest.mark.parametrize(("told", "state"), [("aarch64", "offered"), ("x86_64", "rejected"), ("", "rejected")])
def test_image_for_other_hardware_is_given_to_nobody(fleet: Fleet, tmp_path: Path, told: str, state: str) -> None:
    (tmp_path / "arm.swu").write_bytes(b"for arm")
    fleet.publish(tmp_path / "arm.swu", "3.0", "aarch64")
    action_id = fleet.assign("3.0")
    assert set(fleet.ask()[1]["_links"]) == {"configData"}, "first it has to say what it is"
    data = {"hardware": told} if told else {"name": "gateway"}
    assert fleet.ask("/configData", method="PUT", json={"data": data})[0] == 200
    assert ("deploymentBase" in fleet.ask()[1]["_links"]) == (state == "offered")
    action = fleet.action(action_id)
    assert action.state == state
    assert state == "offered" or "hardware" in action.detail or told in action.detail


def test_what_is_not_called_off_installed_or_on_offer_is_not_described(fleet: Fleet) -> None:
    action_id = fleet.assign()
    fleet.ask()
    assert fleet.ask(f"/cancelAction/{action_id}")[0] == 404
    assert fleet.ask(f"/installedBase/{action_id}")[0] == 404
    fleet.cancel(action_id)
    assert fleet.ask(f"/deploymentBase/{action_id}")[0] == 404
    assert fleet.feedback(action_id, "flying", kind="cancelAction") == 400
    fleet.feedback(action_id, "closed", "success", kind="cancelAction")
    assert fleet.ask(f"/deploymentBase/{action_id}")[0] == 410


def test_image_of_any_file_name_is_fetched_where_its_deployment_says(fleet: Fleet, tmp_path: Path) -> None:
    odd = tmp_path / "disk 2.0 #1?.swu"
    odd.write_bytes(b"another image")
    fleet.publish(odd, "2.0")
    action_id = fleet.assign("2.0")
    (artifact,) = fleet.ask(f"/deploymentBase/{action_id}")[1]["deployment"]["chunks"][0]["artifacts"]
    path = artifact["_links"]["download-http"]["href"].partition(GATEWAY)[2]
    assert fleet.ask(path)[:2] == (200, b"another image")


def test_image_that_a_gateway_was_never_given_is_not_fetched(fleet: Fleet) -> None:
    path = "/softwaremodules/1/artifacts/disk.swu"
    assert fleet.ask(path)[0] == 404
    fleet.assign()
    assert fleet.ask(path)[:2] == (200, b"an image")


def test_window_that_is_over_offers_nothing_new_and_lets_nothing_be_installed(fleet: Fleet, clock: Clock) -> None:
    action_id = fleet.assign()
    with fleet.services.database.writing() as session:
        actions.get(session, action_id).until_ns = clock.now_ns + 1_000_000_000
    assert fleet.ask(f"/deploymentBase/{action_id}")[1]["deployment"]["maintenanceWindow"] == "available"
    clock.advance(2)
    assert "deploymentBase" not in fleet.ask()[1]["_links"]
    fleet.feedback(action_id, "downloaded")
    assert fleet.ask(f"/deploymentBase/{action_id}")[1]["deployment"]["maintenanceWindow"] == "unavailable"


@pytest.mark.parametrize("which", ["retired_ns", "barred_ns"])
def test_gateway_out_of_service_is_refused_and_the_audit_log_tells(fleet: Fleet, which: str) -> None:
    with fleet.services.database.writing() as session:
        setattr(gateways.get(session, GATEWAY), which, START_NS)
    assert fleet.ask()[0] == 403
    with fleet.services.database.reading() as session:
        lines = [line for line in session.scalars(sa.select(AuditLine)) if line.action == "ddi"]
    assert [line.outcome for line in lines] == ["refused"]


def test_one_token_for_all_works_only_where_it_is_set(fleet: Fleet, services: Services) -> None:
    headers = {"Authorization": "GatewayToken of-all"}
    assert fleet.client.get(BASE, headers=headers).status_code == 401
    settings = msgspec.structs.replace(services.settings, ddi_gateway_token="of-all")
    client = create_app(replace(services, settings=settings)).test_client()
    assert client.get(BASE, headers=headers).status_code == 200
    assert client.get(BASE, headers={"Authorization": "GatewayToken "}).status_code == 401


@pytest.fixture
def served(fleet: Fleet) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, fleet.app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_rauc_hawkbits_client_installs_and_cancels(fleet: Fleet, served: str, tmp_path: Path) -> None:
    client_module = pytest.importorskip("rauc_hawkbit.ddi.client")
    deployment = pytest.importorskip("rauc_hawkbit.ddi.deployment_base")
    cancel = pytest.importorskip("rauc_hawkbit.ddi.cancel_action")
    action_id = await asyncio.to_thread(fleet.assign)
    async with aiohttp.ClientSession() as session:
        ddi = client_module.DDIClient(session, served, False, fleet.token(), "default", GATEWAY)
        await ddi.configData(
            client_module.ConfigStatusExecution.closed, client_module.ConfigStatusResult.success, hardware="x86_64"
        )
        base = await ddi()
        assert f"/deploymentBase/{action_id}" in base["_links"]["deploymentBase"]["href"]
        told = await ddi.deploymentBase[str(action_id)]("1")
        (artifact,) = told["deployment"]["chunks"][0]["artifacts"]
        digest = await ddi.get_binary(artifact["_links"]["download"]["href"], str(tmp_path / "got"))
        assert digest == artifact["hashes"]["md5"]
        execution, result = deployment.DeploymentStatusExecution, deployment.DeploymentStatusResult
        await ddi.deploymentBase[str(action_id)].feedback(execution.proceeding, result.none, ["installing"])
        assert fleet.action(action_id).state == "running"
        await ddi.deploymentBase[str(action_id)].feedback(execution.closed, result.success, ["done"])
        assert fleet.action(action_id).state == "finished"
        second = await asyncio.to_thread(fleet.assign)
        await ddi()
        await ddi.deploymentBase[str(second)].feedback(execution.proceeding, result.none, [])
        await asyncio.to_thread(fleet.cancel, second)
        await ddi.cancelAction[str(second)]()
        await ddi.cancelAction[str(second)].feedback(
            cancel.CancelStatusExecution.closed, cancel.CancelStatusResult.success, ["stopped"]
        )
        assert fleet.action(second).state == "cancelled"


class Swupdate:
    """Debian's swupdate with suricatta, in a folder of its own."""

    def __init__(self, folder: Path, served: str, token: str, certificate: Path) -> None:
        folder.mkdir()
        self.log = folder / "log"
        self._folder, self._served, self._token, self._certificate = folder, served, token, certificate
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, confirm: str = "") -> None:
        words = {
            "/etc/fengsui/images.pem": str(self._certificate),
            "https://fleet.example": f"http://{self._served}",
            "TOKEN": self._token,
            "polldelay = 300": "polldelay = 1",
        }
        text = EXAMPLE.findall(DOCUMENT.read_text("utf-8"))[0]
        for word, ours in words.items():
            assert word in text
            text = text.replace(word, ours)
        config = self._folder / "swupdate.cfg"
        config.write_text(text)
        suricatta = ["-u", f"-c {confirm}"] if confirm else ["-u", ""]
        command = ["swupdate", "-f", str(config), "-l", "5", "-M", "-m", "-H", "gateway:1.0", *suricatta]
        environment = os.environ | {"TMPDIR": str(self._folder)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, env=environment, process_group=0
            )

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


async def until(is_so, log: Path) -> None:
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(is_so):  # noqa: ASYNC110 - another program does it
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError((await asyncio.to_thread(log.read_text, "utf-8", "replace"))[-6000:]) from None


@pytest.mark.peer
@pytest.mark.skipif(
    not (shutil.which("swupdate") and shutil.which("cpio")), reason="Debian's swupdate or cpio is not installed"
)
async def test_swupdate_polls_verifies_installs_and_reports_after_its_restart(
    fleet: Fleet, served: str, tmp_path: Path
) -> None:
    signer, target = Signer(tmp_path), tmp_path / "installed"
    fleet.publish(signer.make(tmp_path / "good", "2.0", b"new content", target), "2.0")
    broken = signer.make(tmp_path / "bad", "2.1", b"other content", target)
    octets = broken.read_bytes()
    broken.write_bytes(octets.replace(b"other content", b"other c0ntent"))
    fleet.publish(broken, "2.1")
    swupdate = Swupdate(tmp_path / "swupdate", served, fleet.token(), signer.certificate)
    good = await asyncio.to_thread(fleet.assign, "2.0")
    swupdate.start()
    try:
        await until(lambda: target.exists() and target.read_bytes() == b"new content", swupdate.log)
        await until(lambda: fleet.action(good).step != "", swupdate.log)
    finally:
        swupdate.stop()
    assert fleet.action(good).state == "running", "no success before it was restarted"
    swupdate.start(confirm="2")
    try:
        await until(lambda: fleet.action(good).state == "finished", swupdate.log)
        bad = await asyncio.to_thread(fleet.assign, "2.1", attempts_most=1)
        await until(lambda: fleet.action(bad).state == "failed", swupdate.log)
    finally:
        swupdate.stop()
    assert target.read_bytes() == b"new content"
    with fleet.services.database.reading() as session:
        told = views.service.find_client(session, GATEWAY)
        assert told.told_ns is not None
    assert told.attributes == {"hardware": "x86_64"}
