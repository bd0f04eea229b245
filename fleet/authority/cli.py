"""The command line of the authority, ``fengsui-fleet ca``: makes it, issues by it, and tells brokers of it."""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from fleet import mosquitto
from fleet.accounts.cli import find_actor
from fleet.audit import service as audit
from fleet.authority import offline, store
from fleet.authority.store import to_datetime
from fleet.bootstrap import bootstrap, check_database
from fleet.errors import SetupError
from fleet.mosquitto import Doors
from fleet.settings import Settings, load
from provisioning import authority
from provisioning.authority import Purpose
from provisioning.errors import ProvisioningError
from provisioning.keys import PUBLIC, dump_key, make_key, read_file, write_file

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
PASSPHRASE_OCTETS = 18

KEEP = """\
the roots' keys are in {folder}.
  Copy that folder to two media now, keep both locked away and apart from the passphrase, and delete it here.
  The fleet works without them; they are needed to sign new intermediates, before {until:%Y-%m-%d}.
  Whoever has a root's key and its passphrase can make gateways, or pass for the fleet, until every gateway was enrolled
  anew."""


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser) -> None:
    """Add the actions. ``make_parser`` makes a parser that knows --data."""
    group = commands.add_parser("ca", help="make and keep the authority that gives gateways their identity")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    _add_making(actions, make_parser)
    _add_issuing(actions, make_parser)


def _add_making(actions: Actions[argparse.ArgumentParser], make_parser: MakeParser) -> None:
    parser = make_parser(actions, "init", "make roots and intermediates in one go, on this machine")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="where the roots go: a USB stick")
    _add_passphrase(parser)
    parser.set_defaults(run=_init)
    about = "make the roots, on a machine without a network"
    parser = actions.add_parser("root", help=about, description=about)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="where the roots go")
    _add_passphrase(parser)
    parser.set_defaults(run=_root)
    parser = make_parser(
        actions, "request", "make the intermediates' keys here, and requests to be signed by the roots"
    )
    parser.set_defaults(run=_request)
    about = "sign the requests of intermediates, where the roots are"
    parser = actions.add_parser("intermediate", help=about, description=about)
    parser.add_argument("requests", type=Path, nargs="+", metavar="FILE", help="gateways.csr, services.csr")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="where the roots are")
    parser.add_argument("--passphrase-file", type=Path, required=True, metavar="FILE", help="of the roots' keys")
    parser.set_defaults(run=_intermediate)
    parser = make_parser(
        actions, "import", "take an intermediate's certificate, from our roots or an outside authority"
    )
    parser.add_argument("purpose", choices=[purpose.value for purpose in Purpose])
    parser.add_argument("chain", type=Path, nargs="+", metavar="FILE", help="the certificate first, its root last")
    parser.set_defaults(run=_import)


def _add_issuing(actions: Actions[argparse.ArgumentParser], make_parser: MakeParser) -> None:
    parser = make_parser(actions, "server", "issue a server's certificate and key, for the broker or the console")
    parser.add_argument("hosts", nargs="+", metavar="HOST", help="host names and IP addresses that gateways use")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME", help="writes NAME.crt and NAME.key")
    parser.set_defaults(run=_server)
    parser = make_parser(actions, "service", "issue the certificate and key of a program of the fleet")
    parser.add_argument("name", help="its user name at the broker")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME", help="writes NAME.crt and NAME.key")
    parser.set_defaults(run=_service)
    parser = make_parser(actions, "mosquitto", "write the configuration and rules of a Mosquitto for this fleet")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where they go, as Mosquitto finds them")
    parser.add_argument("--mqtts", default="0.0.0.0:8883", metavar="HOST:PORT", help="for gateways, by certificate")
    parser.add_argument("--mqtt", default="127.0.0.1:1883", metavar="HOST:PORT", help="for the fleet, by password")
    parser.set_defaults(run=_mosquitto)
    parser = make_parser(actions, "show", "show what gateways trust, and until when the intermediates last")
    parser.set_defaults(run=_show)


def _add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="of the roots' keys; else one is made")


def _passphrase(arguments: argparse.Namespace) -> bytes:
    """Read the passphrase of the roots, or make one and show it."""
    if arguments.passphrase_file:
        return _read_passphrase(arguments.passphrase_file)
    made = secrets.token_urlsafe(PASSPHRASE_OCTETS)
    print(f"the passphrase of the roots (shown this once) is: {made}")
    return made.encode()


def _read_passphrase(path: Path) -> bytes:
    try:
        found = read_file(path).strip()
    except ProvisioningError as error:
        raise SetupError(str(error)) from error
    if not found:
        raise SetupError(f"{path} is empty", hint="put the passphrase of the roots on its first line")
    return found


def _init(arguments: argparse.Namespace) -> None:
    settings, now = _load(arguments)
    store.refuse_if_made(settings)
    passphrase = _passphrase(arguments)
    offline.make_roots(arguments.root, passphrase, to_datetime(now))
    requests = store.make_requests(settings)
    for chain in offline.sign_requests(arguments.root, passphrase, requests, to_datetime(now)):
        store.take_chain(settings, Purpose(chain.stem), [chain], now)
    _note(settings, "ca.init", str(arguments.root))
    print(f"the authority in {settings.data_dir / store.FOLDER} is ready")
    print(KEEP.format(folder=arguments.root, until=to_datetime(now) + authority.INTERMEDIATE_LIFETIME))
    _print_trust(store.load(settings, now))


def _root(arguments: argparse.Namespace) -> None:
    now = to_datetime(time.time_ns())
    offline.make_roots(arguments.root, _passphrase(arguments), now)
    print(KEEP.format(folder=arguments.root, until=now + authority.INTERMEDIATE_LIFETIME))
    print("next, on the fleet: fengsui-fleet ca request; then sign here what it wrote: fengsui-fleet ca intermediate")


def _request(arguments: argparse.Namespace) -> None:
    settings, _ = _load(arguments)
    for path in store.make_requests(settings):
        print(path)
    print("have them signed, by 'fengsui-fleet ca intermediate' or your own authority; then: fengsui-fleet ca import")


def _intermediate(arguments: argparse.Namespace) -> None:
    passphrase = _read_passphrase(arguments.passphrase_file)
    for path in offline.sign_requests(arguments.root, passphrase, arguments.requests, to_datetime(time.time_ns())):
        print(path)
    print("next, on the fleet: fengsui-fleet ca import gateways|services FILE")


def _import(arguments: argparse.Namespace) -> None:
    settings, now = _load(arguments)
    issuer = store.take_chain(settings, Purpose(arguments.purpose), arguments.chain, now)
    _note(settings, "ca.import", arguments.purpose)
    print(f"{arguments.purpose}: '{issuer.certificate.subject.rfc4514_string()}' is in use once the fleet starts anew")


def _server(arguments: argparse.Namespace) -> None:
    settings, now = _load(arguments)
    issuer, key = store.load(settings, now).services, make_key()
    try:
        certificate = authority.issue_server(issuer, arguments.hosts, key.public_key(), to_datetime(now))
    except ProvisioningError as error:
        raise SetupError(str(error), hint=error.hint) from error
    _note(settings, "ca.server", " ".join(arguments.hosts))
    _write(arguments.out, key, authority.to_pem([certificate, *issuer.intermediates]))


def _service(arguments: argparse.Namespace) -> None:
    settings, now = _load(arguments)
    issuer, key = store.load(settings, now).services, make_key()
    certificate = authority.issue_service(issuer, arguments.name, key.public_key(), to_datetime(now))
    _note(settings, "ca.service", arguments.name)
    _write(arguments.out, key, authority.to_pem([certificate, *issuer.intermediates]))


def _write(out: Path, key: EllipticCurvePrivateKey, chain: bytes) -> None:
    try:
        write_file(out.with_name(f"{out.name}.key"), dump_key(key))
        write_file(out.with_name(f"{out.name}.crt"), chain, PUBLIC)
    except ProvisioningError as error:
        raise SetupError(str(error), hint=error.hint) from error
    print(f"{out}.crt and {out}.key are written, good for {authority.SERVICE_LIFETIME.days} days")


def _mosquitto(arguments: argparse.Namespace) -> None:
    settings, _ = _load(arguments)
    services = bootstrap(settings)
    try:
        written = mosquitto.write_files(services, arguments.folder, Doors(arguments.mqtts, arguments.mqtt))
    except ProvisioningError as error:
        raise SetupError(str(error), hint=error.hint) from error
    finally:
        services.close()
    for path in written:
        print(path)
    print(
        f"next: mosquitto_passwd -c {arguments.folder / mosquitto.PASSWORDS} {settings.broker_user}, by broker_password"
    )


def _show(arguments: argparse.Namespace) -> None:
    settings, now = _load(arguments)
    _print_trust(store.load(settings, now))


def _print_trust(known: store.Authority) -> None:
    for purpose in Purpose:
        issuer = known.of(purpose)
        until = issuer.certificate.not_valid_after_utc
        print(f"{purpose}: '{issuer.certificate.subject.rfc4514_string()}' until {until:%Y-%m-%d}")
    print(f'ca_sha256 = "{store.fingerprint(known.services.root)}"  (for enrol.toml of gateways)')


def _note(settings: Settings, action: str, target: str) -> None:
    """Have the audit log tell of it."""
    services = bootstrap(settings)
    try:
        check_database(services)
        with services.database.writing() as session:
            audit.append(session, services.clock(), find_actor(), action, target)
    finally:
        services.close()


def _load(arguments: argparse.Namespace) -> tuple[Settings, int]:
    return load(arguments.data.resolve()), time.time_ns()
