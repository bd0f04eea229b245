"""A fleet with an authority, and gateways at its door."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flask.testing import FlaskClient

from fleet.authority import offline, store
from fleet.bootstrap import Services
from fleet.claims import service as claims
from fleet.claims.models import Claim
from fleet.claims.service import Intended
from fleet.commands.keys import found_key
from provisioning.authority import Purpose
from provisioning.codes import hash_code, make_code
from provisioning.keys import make_key
from provisioning.requests import make_request
from wire.claim import Issued, Refusal, Waiting

GATEWAY = "gw-yufu-0001"
ROOT_PASSPHRASE = b"root passphrase"
ANSWERS: dict[int, type[Issued | Waiting]] = {200: Issued, 202: Waiting}


def found_authority(services: Services) -> None:
    """Make an authority for a fleet, its roots beside it."""
    now_ns, roots = services.clock(), services.settings.data_dir / "roots"
    offline.make_roots(roots, ROOT_PASSPHRASE, store.to_datetime(now_ns))
    requests = store.make_requests(services.settings)
    for chain in offline.sign_requests(roots, ROOT_PASSPHRASE, requests, store.to_datetime(now_ns)):
        store.take_chain(services.settings, Purpose(chain.stem), [chain], now_ns)
    found_key(services.settings.data_dir)


def add_claim(services: Services, gateway: str = GATEWAY, days: float | None = None, site: str = "") -> str:
    """Add a claim and return its code."""
    code = make_code()
    with services.database.writing() as session:
        claims.add(session, hash_code(code), Intended(gateway=gateway, site=site), "admin", services.clock(), days)
    return code


def get_claim(services: Services, code: str) -> Claim:
    with services.database.reading() as session:
        claim = claims.find(session, hash_code(code))
    assert claim is not None
    return claim


@cache
def key_number(_number: int) -> EllipticCurvePrivateKey:
    """A key for each number, the same in all tests."""
    return make_key()


def csr(number: int = 1) -> str:
    return make_request(key_number(number), "whoever").decode()


def ask(client: FlaskClient, path: str, /, **fields: str) -> Issued | Waiting | Refusal:
    """Ask at the door, from an address of the test network unless ``address`` is given."""
    base = {"REMOTE_ADDR": fields.pop("address", "192.0.2.1")}
    answer = client.post(path, json=fields, environ_base=base)
    return msgspec.json.decode(answer.data, type=ANSWERS.get(answer.status_code, Refusal))


def enrol(client: FlaskClient, code: str, number: int = 1, **more: str) -> Issued | Waiting | Refusal:
    return ask(client, "/enrol", claim=code, csr=csr(number), **more)


def renew(client: FlaskClient, number: int = 1, gateway: str = GATEWAY, **more: str) -> Issued | Waiting | Refusal:
    return ask(client, "/enrol/renew", gateway=gateway, csr=csr(number), **more)


def leaf_of(issued: Issued | Waiting | Refusal) -> x509.Certificate:
    assert isinstance(issued, Issued), issued
    return x509.load_pem_x509_certificates(issued.certificate.encode())[0]


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path
