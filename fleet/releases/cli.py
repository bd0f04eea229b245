"""The command line of releases: ``fengsui-fleet release keys|root|add|sign|publish|renew|withdraw|list``."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.errors import InvalidError, SetupError
from fleet.releases import keys, service
from fleet.releases.models import IMAGE
from fleet.releases.packing import pack_profiles
from fleet.releases.repository import OFFLINE, Repository, sign, utc_now
from fleet.releases.service import Made
from fleet.releases.store import find_folder

Actions = argparse._SubParsersAction
MakeParser = Callable[[Any, str, str], argparse.ArgumentParser]
WithServices = Callable[[argparse.Namespace, Callable[[Services], None]], None]
THRESHOLD = 2


def add(commands: Actions[argparse.ArgumentParser], make_parser: MakeParser, with_services: WithServices) -> None:
    """Add the actions. ``make_parser`` makes one that knows --data; ``with_services`` runs work on the fleet there."""
    group = commands.add_parser("release", help="make, sign and publish what gateways run").add_subparsers(
        metavar="ACTION", required=True
    )
    _add_offline(group)

    def at_fleet(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace, Services], None]) -> None:
        parser.set_defaults(run=lambda options: with_services(options, lambda services: work(options, services)))

    root = group.add_parser("root", help="who may sign").add_subparsers(metavar="ACTION", required=True)
    for name, about, work in (
        ("init", "stage the first root", _root_init),
        ("rotate", "stage a root with other keys", _root_rotate),
    ):
        parser = make_parser(root, name, about)
        for role in ("root", "targets"):
            parser.add_argument(f"--{role}-key", action="append", type=Path, required=True, metavar="PUB")
        parser.add_argument("--threshold", type=int, default=THRESHOLD, metavar="N", help="signatures that it takes")
        at_fleet(parser, work)
    parser = make_parser(root, "show", "write the newest root, for gateways to be installed with")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    at_fleet(parser, _root_show)
    parser = make_parser(group, "add", "take a file into the store, and stage that it is a release")
    parser.add_argument("file", type=Path)
    parser.add_argument("--image", metavar="VERSION", default="", help="it is the image of a disk, of this version")
    parser.add_argument("--hardware", action="append", default=[], metavar="NAME", help="that an image is made for")
    parser.add_argument("--notes", default="", help="what has changed, for operators")
    parser.add_argument("--older", action="store_true", help="it may replace a newer version")
    at_fleet(parser, _add)
    parser = make_parser(group, "withdraw", "stage that a version is no release any more")
    parser.add_argument("kind")
    parser.add_argument("version")
    at_fleet(parser, _withdraw)
    at_fleet(make_parser(group, "renew", "stage everything to be signed for another year"), _renew)
    at_fleet(make_parser(group, "publish", "publish what is staged, once it is signed"), _publish)
    at_fleet(make_parser(group, "list", "show releases, and what is missing"), _list)


def _add_offline(group: Actions[argparse.ArgumentParser]) -> None:
    """What needs no fleet: it is done where the keys are."""
    parser = group.add_parser("keys", help="make an offline key").add_subparsers(metavar="ACTION", required=True)
    make = parser.add_parser("make", help="make a key, FILE, and FILE.pub for the fleet")
    make.add_argument("file", type=Path)
    make.add_argument("--passphrase-file", type=Path, metavar="FILE", help="else it is typed")
    make.set_defaults(run=_make_key)
    pack = group.add_parser("profiles", help="pack driver profiles, to be added")
    pack.add_argument("folder", type=Path, metavar="DIR", help="a folder of *.toml")
    pack.add_argument("--release", required=True, metavar="VERSION", help="two to four numbers")
    pack.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR")
    pack.set_defaults(run=_pack)
    signing = group.add_parser("sign", help="sign what is staged, wherever it was copied to")
    signing.add_argument("--data", type=Path, metavar="DIR", help="the fleet's data directory")
    signing.add_argument("--staged", type=Path, metavar="DIR", help="a copy of DATA/releases/staged instead")
    signing.add_argument("--key", type=Path, required=True, metavar="FILE")
    signing.add_argument("--passphrase-file", type=Path, metavar="FILE", help="else it is typed")
    signing.set_defaults(run=_sign)


def _passphrase(options: argparse.Namespace, *, is_new: bool = False) -> str:
    if options.passphrase_file is not None:
        try:
            return str(options.passphrase_file.read_text("utf-8")).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{options.passphrase_file} cannot be read", hint="name another file") from error
    typed = getpass.getpass("passphrase: ")
    if is_new and getpass.getpass("passphrase again: ") != typed:
        raise InvalidError("the two are not the same", hint="type it again")
    return typed


def _make_key(options: argparse.Namespace) -> None:
    public = keys.make(options.file, _passphrase(options, is_new=True))
    print(f"{options.file} is the key: keep it offline. {public} goes to the fleet.")


def _pack(options: argparse.Namespace) -> None:
    print(f"{pack_profiles(options.folder, options.release, options.out)}: add it, with the file beside it")


def _sign(options: argparse.Namespace) -> None:
    if (options.staged is None) == (options.data is None):
        raise InvalidError("what is to be signed?", hint="name --data, or --staged for a copy")
    staged = options.staged or Repository(options.data / "releases").staged
    roles = sign(staged, keys.read_private(options.key, _passphrase(options)))
    print(f"signed: {', '.join(roles)}")


def _read_keys(paths: list[Path]) -> list[Any]:
    return [keys.read_public(path) for path in paths]


def _root_init(options: argparse.Namespace, services: Services) -> None:
    at = utc_now(services.clock())
    root, targets = _read_keys(options.root_key), _read_keys(options.targets_key)
    service.find_repository(services).found(root, targets, options.threshold, at)
    _note(services, "release.root-init", "", {"threshold": options.threshold})
    _say_staged(services)


def _root_rotate(options: argparse.Namespace, services: Services) -> None:
    at = utc_now(services.clock())
    root, targets = _read_keys(options.root_key), _read_keys(options.targets_key)
    service.find_repository(services).rotate(root, targets, options.threshold, at)
    _note(services, "release.root-rotate", "", {"threshold": options.threshold})
    _say_staged(services)


def _root_show(options: argparse.Namespace, services: Services) -> None:
    root = service.find_repository(services).newest("root")
    if root is None:
        raise SetupError("no root is published yet", hint="run: fengsui-fleet release root init")
    try:
        options.out.write_bytes(root.to_bytes())
    except OSError as error:
        raise SetupError(f"{options.out} cannot be written: {error.strerror}", hint="name another file") from error
    print(f"{options.out}: version {root.signed.version}")


def _add(options: argparse.Namespace, services: Services) -> None:
    image = Made(IMAGE, options.image, tuple(options.hardware)) if options.image else None
    made = image or service.read_bundle(options.file)
    with services.database.writing() as session:
        artifact = service.add(
            services, session, options.file, getpass.getuser(), made, options.notes, older=options.older
        )
        actor = Actor(getpass.getuser(), "cli")
        detail = {"sha256": artifact.sha256, "version": artifact.version}
        audit.append(session, services.clock(), actor, "release.add", artifact.path, detail)
        print(f"{artifact.path}: sha256 {artifact.sha256}")
    if not options.image:
        _say_staged(services)


def _withdraw(options: argparse.Namespace, services: Services) -> None:
    with services.database.reading() as session:
        artifacts = service.get(session, options.kind, options.version)
    for artifact in artifacts:
        service.find_repository(services).withdraw_target(artifact.kind, artifact.path, utc_now(services.clock()))
        _note(services, "release.withdraw", artifact.path, {})
    _say_staged(services)


def _renew(_options: argparse.Namespace, services: Services) -> None:
    service.find_repository(services).stage_anew(utc_now(services.clock()))
    _note(services, "release.renew", "", {})
    _say_staged(services)


def _publish(_options: argparse.Namespace, services: Services) -> None:
    with services.database.writing() as session:
        roles = service.publish(services, session)
        actor = Actor(getpass.getuser(), "cli")
        audit.append(session, services.clock(), actor, "release.publish", ",".join(roles), {})
    print(f"published: {', '.join(roles)}")


def _list(_options: argparse.Namespace, services: Services) -> None:
    repository = service.find_repository(services)
    with services.database.reading() as session:
        for artifact in service.list_all(session):
            state = "published" if artifact.published_ns else "staged"
            hardware = ",".join(artifact.hardware) or "any"
            print(f"{artifact.kind:9} {artifact.version:10} {hardware:12} {artifact.size:>12,}  {state}")
    for role in OFFLINE:
        newest = repository.newest(role)
        if newest is not None:
            print(f"{role}: version {newest.signed.version}, ends {newest.signed.expires:%Y-%m-%d}")
    _say_staged(services)


def _say_staged(services: Services) -> None:
    repository = service.find_repository(services)
    staged = repository.list_staged()
    for role in staged:
        missing = repository.missing(role)
        print(f"staged: {role}, " + (f"signatures missing: {missing}" if missing else "signed"))
    if staged:
        print(f"next: fengsui-fleet release sign --key FILE, or copy {find_folder(services.settings) / 'staged'}")


def _note(services: Services, action: str, target: str, detail: dict[str, Any]) -> None:
    with services.database.writing() as session:
        audit.append(session, services.clock(), Actor(getpass.getuser(), "cli"), action, target, detail)
