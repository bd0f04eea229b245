"""A kit of a fleet, as a laptop makes one."""

from __future__ import annotations

from typing import Any

import msgspec
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts import tokens
from fleet.accounts.models import Role
from fleet.authority import store
from fleet.bootstrap import Services
from fleet.configs import templates
from fleet.sites import service as sites
from provisioning.codes import hash_code, make_code
from provisioning.kit.documents import Order
from provisioning.kit.signed import Signed
from provisioning.signing import make_private_key, read_private_key, write_public_key

KIT = "kit-yufu-01"
GATEWAY = "gw-yufu-0001"
LAPTOP_KEY = make_private_key()
TEMPLATE = """\
[variable.port]
title = "controller's port"
kind = "integer"

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://127.0.0.1:${port}"

[[device]]
name = "tank-01"
bus = "plc"
unit = 1

[[device.group]]
name = "fast"
poll_s = 1

[[device.group.tag]]
name = "level"
address = 0
"""


def furnish(services: Services) -> str:
    """Give a fleet a site, a template and a technician. Returns the technician's token."""
    with services.database.writing() as session:
        sites.add(session, "yufu", "御府储罐区", "chemical", 30.0, 120.0)
        templates.add(session, "tank", TEMPLATE, "Tank", "chemical", "admin", services.clock())
        accounts.add(session, "tech", "a long password", Role.TECHNICIAN, services.clock())
        return tokens.make(session, "tech", "laptop", ["provision"], 7, services.clock())


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def wanted(code: str, **more: Any) -> dict[str, Any]:
    """Ask for a kit with one claim."""
    slot = {"claim_sha256": hash_code(code), "gateway": GATEWAY, "site": "yufu", "template": "tank"}
    asked = {
        "kit": KIT,
        "laptop_key": write_public_key(read_private_key(LAPTOP_KEY)).decode(),
        "url": "https://fleet.example",
        "sites": ["yufu"],
        "claims": [slot],
        "days": 7,
    }
    return asked | more


def make_parts(services: Services, client: FlaskClient, token: str) -> tuple[str, Signed, Signed, str]:
    """Return the code of the one claim, grant and content, and the SHA-256 of the fleet's root."""
    code = make_code()
    answer = client.post("/api/kits", json=wanted(code), headers=headers(token))
    assert answer.status_code == 200, answer.json
    grant, content = (msgspec.convert(answer.json[name], Signed) for name in ("grant", "content"))
    return code, grant, content, store.fingerprint(services.authority.services.root)


def make_order(code: str, now_ns: int, **more: Any) -> Order:
    return Order(
        **{"id": "00" * 16, "kit": KIT, "gateway": GATEWAY, "claim": code, "made_ns": now_ns, "site": "yufu"} | more
    )
