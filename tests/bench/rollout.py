"""A thousand gateways take a release in five waves: how long that takes, and how long the rollout's page meanwhile."""

from __future__ import annotations

import http.cookiejar
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa

from fleet.bootstrap import Services, bootstrap
from fleet.founding import found
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.rollouts import service
from fleet.rollouts.plan import read_plan
from fleet.rollouts.states import FINISHED, RUNNING
from fleet.settings import load, save
from tests.bench.ceiling import raise_ceiling
from tests.bench.gateway import end, process
from tests.fleet.rollouts import NEW, make_artifact
from tests.servers import free_port, mosquitto, wait_for_port

GATEWAYS = 1000
PER_PROCESS = 500
SHARES = (1, 10, 30, 50)
"""Percent of the rest in each wave; the fifth has what is left."""
GIVE_UP_S = 900.0
LOOK_S = 0.2
USER, PASSWORD = "admin", "a password for the bench"


def measure_rollout() -> dict[str, float]:
    """Return the seconds from the start to the end of the rollout, and how long its page took meanwhile."""
    raise_ceiling()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".", prefix=".bench-")))
        port = stack.enter_context(mosquitto(folder))
        services = stack.enter_context(_fleet(folder / "fleet", port))
        for program in ("ingest", "upkeep", "web"):
            stack.callback(end, _start(services, program))
        base = f"http://{services.settings.http}"
        wait_for_port(int(base.rpartition(":")[2]), 60)
        for first in range(0, GATEWAYS, PER_PROCESS):
            words = [sys.executable, "-m", "tests.bench.updating", str(port), str(first), str(PER_PROCESS)]
            stack.enter_context(process(words))
        _wait(lambda: _count_reported(services) == GATEWAYS, "not all gateways have reported")
        number = _begin(services)
        began = time.monotonic()
        looks: list[float] = []
        with _looking(base, number, looks):
            _wait(lambda: _state(services, number) != RUNNING, "the rollout did not come to an end")
        took_s = time.monotonic() - began
        assert _state(services, number) == FINISHED, _reason(services, number)
    return {
        "rollout_1000_s": took_s,
        "rollout_page_p50_ms": statistics.median(looks) * 1000,
        "rollout_page_p95_ms": statistics.quantiles(looks, n=20)[-1] * 1000,
    }


@contextmanager
def _fleet(folder: Path, port: int) -> Iterator[Services]:
    """Found a fleet that knows the gateways and has a release."""
    found(folder, "", USER, PASSWORD)
    none = {f"{name}_metrics": "" for name in ("ingest", "upkeep")}
    told = {"http": f"127.0.0.1:{free_port()}", "broker_url": f"mqtt://127.0.0.1:{port}", **none}
    save(msgspec.structs.replace(load(folder), **told))
    services = bootstrap(load(folder))
    with services.database.writing() as session:
        for number in range(GATEWAYS):
            gateways.register(session, f"gw-bench-{number:04d}", "", None, 0)
        session.add(make_artifact())
    try:
        yield services
    finally:
        services.close()


def _start(services: Services, program: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "fleet.cli", program, "--data", str(services.settings.data_dir)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _begin(services: Services) -> int:
    plan = read_plan({"name": "bench", "version": NEW, "waves": [{"percent": share} for share in SHARES]})
    with services.database.writing() as session:
        rollout = service.create(session, plan, USER, services.clock(), GATEWAYS + 1)
        assert rollout.waves_count == len(SHARES) + 1
        service.start(session, rollout.id, services.clock())
        return rollout.id


def _count_reported(services: Services) -> int:
    query = sa.select(sa.func.count()).where(Gateway.reported_ns.is_not(None))
    with services.database.reading() as session:
        return session.scalar(query) or 0


def _state(services: Services, number: int) -> str:
    with services.database.reading() as session:
        return service.get(session, number).state


def _reason(services: Services, number: int) -> str:
    with services.database.reading() as session:
        return service.get(session, number).reason


def _wait(until: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not until():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint)
        time.sleep(0.5)


@contextmanager
def _looking(base: str, number: int, looks: list[float]) -> Iterator[None]:
    """Have somebody look at the rollout's page again and again, with and without a filter."""
    browser = _sign_in(base)
    is_over = threading.Event()
    pages = [f"{base}/rollouts/{number}", f"{base}/rollouts/{number}?standing=open&page=2"]

    def look() -> None:
        while not is_over.wait(LOOK_S):
            began = time.monotonic()
            with browser.open(pages[len(looks) % len(pages)], timeout=30) as answer:
                assert b"bench" in answer.read()
            looks.append(time.monotonic() - began)

    watcher = threading.Thread(target=look, name="look")
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _sign_in(base: str) -> urllib.request.OpenerDirector:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    with browser.open(f"{base}/sign-in", timeout=30) as answer:
        token = re.search(r'name="csrf_token" value="([^"]+)"', answer.read().decode())
    assert token is not None
    form = urllib.parse.urlencode({"name": USER, "password": PASSWORD, "csrf_token": token[1]}).encode()
    with browser.open(f"{base}/sign-in", data=form, timeout=30) as answer:
        assert answer.status == 200
    return browser
