"""A thousand gateways at the door at once: the agent's own enrolment code against a fleet's web program over HTTPS."""

from __future__ import annotations

import asyncio
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import sqlalchemy as sa

from edge.clock import SystemClock
from edge.enrolment import Enrolment
from fleet.authority import store
from fleet.bootstrap import Services, bootstrap
from fleet.certificates.models import Certificate
from fleet.claims import service as claims
from fleet.claims.service import Intended
from fleet.cli import main as fleet
from fleet.settings import Settings, load, save
from provisioning import authority
from provisioning.codes import hash_code, make_code
from tests.servers import free_port, wait_for_port

GATEWAYS = 1000
AT_ONCE = 64
"""Threads of this process that speak for gateways: two processors do not turn more."""
LOOK_S = 0.2


def measure_enrol() -> dict[str, float]:
    """Return the seconds until all have an identity, and how long the sign-in page took meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        services = bootstrap(found(folder))
        boxes = make_boxes(folder, services)
        words = [sys.executable, "-m", "fleet.cli", "web", "--data", str(services.settings.data_dir)]
        web = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_port(int(services.settings.http.rpartition(":")[2]), 60)
            figures = asyncio.run(enrol_all(boxes, f"https://{services.settings.http}", folder / "ca.pem"))
        finally:
            web.terminate()
            web.wait(20)
        with services.database.reading() as session:
            count = session.scalar(sa.select(sa.func.count()).select_from(Certificate))
        services.close()
    assert count == GATEWAYS, f"{count} certificates for {GATEWAYS} gateways"
    return figures


def found(folder: Path) -> Settings:
    """Make a fleet with an authority, whose web program speaks HTTPS."""
    data = folder / "fleet"
    for words in (["init"], ["ca", "init", "--root", str(folder / "root")]):
        assert fleet([*words, "--data", str(data)]) == 0
    assert fleet(["ca", "server", "127.0.0.1", "--data", str(data), "--out", str(data / "web")]) == 0
    told = {"http": f"127.0.0.1:{free_port()}", "http_cert_file": "web.crt", "http_key_file": "web.key"}
    settings: Settings = msgspec.structs.replace(load(data), **told)
    save(settings)
    return settings


def make_boxes(folder: Path, services: Services) -> list[Enrolment]:
    """Make gateways that have nothing but a claim."""
    root = services.authority.services.root
    (folder / "ca.pem").write_bytes(authority.to_pem([root]))
    said = f'url = "https://{services.settings.http}"\nca_sha256 = "{store.fingerprint(root)}"\n'
    boxes = []
    with services.database.writing() as session:
        for number in range(GATEWAYS):
            name, code = f"gw-bench-{number:04}", make_code()
            claims.add(session, hash_code(code), Intended(gateway=name), "bench", services.clock())
            box = folder / name
            box.mkdir()
            (box / "enrol.toml").write_text(f'{said}claim = "{code}"\n')
            boxes.append(Enrolment(box / "enrol.toml", box))
    return boxes


async def enrol_all(boxes: list[Enrolment], url: str, ca_file: Path) -> dict[str, float]:
    """Have all ask at once, and look at the sign-in page meanwhile."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE))
    looks: list[float] = []
    looking = asyncio.create_task(look(url, ca_file, looks))
    began = time.monotonic()
    await asyncio.gather(*(box.keeper(SystemClock(), lambda _event, _detail: None).enrol() for box in boxes))
    took_s = time.monotonic() - began
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    return {"enrol_1000_s": took_s, "enrol_web_p95_ms": statistics.quantiles(looks, n=20)[-1] * 1000}


async def look(url: str, ca_file: Path, looks: list[float]) -> None:
    """Fetch the sign-in page again and again, in a thread of its own."""
    context = ssl.create_default_context(cafile=ca_file)

    def fetch() -> float:
        began = time.monotonic()
        with urllib.request.urlopen(f"{url}/sign-in", timeout=30, context=context) as answer:
            answer.read()
        return time.monotonic() - began

    with ThreadPoolExecutor(1) as alone:
        while True:
            looks.append(await asyncio.get_running_loop().run_in_executor(alone, fetch))
            await asyncio.sleep(LOOK_S)
