"""Taking a bundle that a technician's laptop signed: what a gateway without a link is to be.

It is taken only while the fleet has given no identity, so no laptop ever changes a gateway that the fleet runs. What
was taken lies in the folder ``identity``; the claim in it is presented as soon as there is a link.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from drivers.profile import Shelf
from edge.clock import SET_FLOOR_NS, SystemClock
from edge.configuration import read_desired
from edge.errors import EdgeError
from edge.identity import IdentityFolder, OnSite
from edge.mistakes import Mistakes
from edge.places import format_place
from edge.settings import Configuration
from provisioning.errors import RequestError
from provisioning.kit.documents import Bundle, Order, read_bundle

MISTAKES_MOST = 5


def find_anchor(ca_sha256: str, ca_file: Path | None) -> str:
    """Return the SHA-256 of the root that ``enrol.toml`` trusts. Raises EdgeError if it names none."""
    if ca_sha256:
        return ca_sha256.replace(":", "").lower()
    try:
        if ca_file is None:
            raise EdgeError("enrol.toml names no authority", hint="write ca_sha256, as 'fengsui-fleet ca show' has it")
        octets = x509.load_pem_x509_certificate(ca_file.read_bytes()).public_bytes(Encoding.DER)
    except (OSError, ValueError) as error:
        raise EdgeError(f"{ca_file} cannot be used: {error}", hint="put the fleet's root there") from error
    return hashlib.sha256(octets).hexdigest()


def take(bundle: Bundle, anchor: str, identity: IdentityFolder, gateway: str, now_ns: int, shelf: Shelf) -> Order:
    """Check a bundle and keep it; durable when this returns. ``gateway`` is this one's name, "" if it has none.

    Raises RequestError whose name is the word of the refusal, or IdentityError; then all is as before.
    """
    grant, order = read_bundle(bundle, anchor, gateway, now_ns)
    before = identity.on_site()
    if before is not None and order.id in before.taken:
        raise RequestError("known", "this bundle was taken before", hint="nothing is to be done")
    if before is not None and order.made_ns <= before.order.made_ns:
        raise RequestError("replayed", "a newer bundle was taken already", hint="make another on the laptop")
    if identity.read() is not None:
        raise RequestError("enrolled", "the fleet runs this gateway", hint="change its configuration in the fleet")
    if not grant.broker:
        raise RequestError("broker", "the kit names no broker", hint="set gateways_broker_url in the fleet")
    _check_configuration(order, shelf)
    taken = (*(before.taken if before else ()), order.id)
    identity.keep_on_site(OnSite(order=order, broker=grant.broker, taken=taken))
    return order


def _check_configuration(order: Order, shelf: Shelf) -> None:
    mistakes = Mistakes()
    if order.config and read_desired(order.config, mistakes, shelf) is None:
        said = "; ".join(f"{format_place(m.place)}: {m.message}" for m in mistakes.found[:MISTAKES_MOST])
        raise RequestError("configuration", f"this release does not run it: {said}", hint="correct the variables")


def newest_ns(clock: SystemClock) -> int:
    """The time by which a kit has expired or not: the machine's own only while a time source holds it."""
    now_ns = clock.newest_at(clock.mono_ns())
    return now_ns if clock.state().quality == "synced" else min(now_ns, SET_FLOOR_NS)


def find_seed(identity: IdentityFolder, shelf: Shelf) -> Configuration | None:
    """Return the configuration that a laptop gave: it runs until the fleet gives one. None if none was given."""
    given = identity.on_site()
    if given is None or not given.order.config:
        return None
    return read_desired(given.order.config, Mistakes(), shelf)
