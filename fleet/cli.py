"""The command line `fengsui-fleet`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from fleet import backup, founding
from fleet.accounts import cli as cli_accounts
from fleet.accounts.cli import add_password, find_actor, read_password
from fleet.audit import cli as cli_audit
from fleet.audit import service as audit
from fleet.authority import cli as cli_authority
from fleet.bootstrap import Services, bootstrap, check_database, describe
from fleet.chains import cli as cli_chains
from fleet.claims import cli as cli_claims
from fleet.commands import cli as cli_commands
from fleet.commands.keys import PUBLIC_FILE, write_public
from fleet.configs import cli as cli_configs
from fleet.diagnosis import cli as cli_diagnosis
from fleet.errors import FleetError, SetupError
from fleet.gateways import cli as cli_gateways
from fleet.gateways import service as gateways
from fleet.notifications import cli as cli_notifications
from fleet.quakes import cli as cli_quakes
from fleet.relay import service as destinations
from fleet.releases import cli as cli_releases
from fleet.settings import DATABASE_URL, load
from fleet.sites import service as sites

PROGRAMS = ("serve", "web", "ingest", "relay", "upkeep", "notify", "seedlink", "broker")
METRICS = ("ingest", "relay", "upkeep", "notify", "seedlink")
LISTENS = ("http", "mqtt", "mqtts", "seedlink", "seedlink_tls")
OVERRIDES = (*LISTENS, "broker_url", *(f"{name}_metrics" for name in METRICS), "database_url")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status; an error is one line with a hint, never a traceback."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("httpx", "httpcore", "alembic", "asyncio", "transitions", "amqtt"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    run: Callable[[argparse.Namespace], None] = arguments.run
    try:
        run(arguments)
    except FleetError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"fengsui-fleet: {error}{hint}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"fengsui-fleet: the database does not answer: {describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(prog="fengsui-fleet", description="The fleet manager of Fengsui.")
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_init(commands)
    _add_programs(commands)
    _add_gateway(commands)
    cli_commands.add(commands, _command, _with_services)
    cli_diagnosis.add(commands, _command, _with_services)
    cli_authority.add(commands, _command)
    cli_claims.add(commands, _command, _with_services)
    cli_releases.add(commands, _command, _with_services)
    cli_configs.add(commands, _command, _with_services)
    _add_site(commands)
    _add_destination(commands)
    cli_accounts.add(commands, _command, _with_services)
    cli_audit.add(commands, _command, _with_services)
    cli_notifications.add(commands, _command)
    cli_quakes.add(commands, _command, _with_services)
    cli_chains.add(commands, _command, _with_services)
    _add_backup(commands)
    return parser


Commands = argparse._SubParsersAction


def _command(commands: Commands[argparse.ArgumentParser], name: str, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the fleet's data directory")
    return parser


def _add_init(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "init", "make a fleet, or bring one to this release")
    parser.add_argument("--user", "--admin", default="admin", metavar="NAME", help="the first administrator")
    parser.add_argument("--database", default="", metavar="URL", help="PostgreSQL instead of SQLite in the directory")
    add_password(parser)
    parser.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> None:
    chosen = founding.found(arguments.data, arguments.database, arguments.user, read_password(arguments))
    print(f"the fleet in {arguments.data} is ready")
    if chosen is not None:
        print(f"sign in as {arguments.user} with the password {chosen} (shown this once)")


def _add_programs(commands: Commands[argparse.ArgumentParser]) -> None:
    about = {
        "serve": "run everything: broker, ingest, relay, upkeep, notify, seedlink and web",
        "web": "run the console and the API",
        "ingest": "run what commits the gateways' records",
        "relay": "run what hands records to destinations",
        "upkeep": "run what prunes old data",
        "notify": "run what tells people and programs of alarms",
        "seedlink": "run what gives waveforms to seismologists' programs",
        "broker": "run the broker that the fleet brings along",
    }
    for name in PROGRAMS:
        parser = _command(commands, name, about[name])
        parser.add_argument("--http", metavar="HOST:PORT", help="where the console and the API listen")
        parser.add_argument("--mqtt", metavar="HOST:PORT", help="where our own broker listens")
        parser.add_argument("--mqtts", metavar="HOST:PORT", help="where it listens for gateways with certificates")
        parser.add_argument("--seedlink", metavar="HOST:PORT", help="where SeedLink listens")
        parser.add_argument("--seedlink-tls", metavar="HOST:PORT", help="where it listens by TLS, for who signs in")
        parser.add_argument("--broker-url", metavar="URL", help="use this broker instead, mqtt://host:port")
        for each in METRICS:
            parser.add_argument(
                f"--{each}-metrics", metavar="HOST:PORT", help=f"/metrics and /healthz of {each}, '' for none"
            )
        parser.add_argument(
            "--database-url", "--database", metavar="URL", help="another database than the settings name"
        )
        parser.add_argument("--supervised", type=int, default=0, help=argparse.SUPPRESS)
        if name == "upkeep":
            parser.add_argument("--once", action="store_true", help="take one turn, say what went, and end")
        parser.set_defaults(run=_run_program, program=name, once=False)


def _run_program(arguments: argparse.Namespace) -> None:
    from fleet import programs, supervisor

    overrides = {name: getattr(arguments, name) for name in OVERRIDES}
    if overrides["database_url"] is None:
        overrides["database_url"] = os.environ.get(DATABASE_URL)
    settings = load(arguments.data.resolve(), overrides)
    if arguments.program == "serve":
        supervisor.serve(settings)
    elif arguments.once:
        print(f"rows that went: {programs.tend_once(settings)}")
    else:
        programs.run(arguments.program, settings, arguments.supervised)


def _add_gateway(commands: Commands[argparse.ArgumentParser]) -> None:
    about = "register gateways, and say what becomes of them"
    group = commands.add_parser("gateway", help=about).add_subparsers(metavar="ACTION", required=True)
    parser = _command(group, "add", "register a gateway and make its token")
    parser.add_argument("name", help="7 to 63 of a-z, 0-9 and '-'")
    parser.add_argument("--title", default="", help="its name for people")
    parser.add_argument("--site", metavar="KEY", help="the site where it stands")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"write the token there instead of printing it, and {PUBLIC_FILE} beside it",
    )
    parser.set_defaults(run=_gateway_add)
    cli_gateways.add(group, _command, _with_services)


def _gateway_add(arguments: argparse.Namespace) -> None:
    def work(services: Services) -> None:
        with services.database.writing() as session:
            _, token = gateways.register(session, arguments.name, arguments.title, arguments.site, services.clock())
            audit.append(session, services.clock(), find_actor(), "gateway.add", arguments.name)
            if arguments.token_file:
                write_public(services.settings.data_dir, arguments.token_file.with_name(PUBLIC_FILE))
                founding.write_token(arguments.token_file, token)
        if arguments.token_file:
            print(f"gateway {arguments.name} is registered, its token is in {arguments.token_file}")
            print(f"the key by which it knows our commands is in {arguments.token_file.with_name(PUBLIC_FILE)}")
        else:
            print(f"gateway {arguments.name} is registered, its token (shown this once) is: {token}")

    _with_services(arguments, work)


def _add_site(commands: Commands[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("site", help="add sites").add_subparsers(metavar="ACTION", required=True)
    parser = _command(group, "add", "add a site")
    parser.add_argument("key", help="up to 63 of a-z, 0-9 and '-'")
    parser.add_argument("--title", default="", help="its name for people")
    parser.add_argument("--sector", default="", help="chemical, weather, earthquake, ...")
    parser.add_argument("--lat", type=float, help="latitude in degrees")
    parser.add_argument("--lon", type=float, help="longitude in degrees")
    parser.set_defaults(run=_site_add)
    parser = _command(group, "expect", "say which devices a site is to have")
    parser.add_argument("key")
    parser.add_argument("file", type=Path, help=f"CSV; its first line names the columns: {','.join(sites.COLUMNS)}")
    parser.set_defaults(run=_site_expect)


def _site_add(arguments: argparse.Namespace) -> None:
    def work(services: Services) -> None:
        with services.database.writing() as session:
            sites.add(session, arguments.key, arguments.title, arguments.sector, arguments.lat, arguments.lon)
            audit.append(session, services.clock(), find_actor(), "site.add", arguments.key)
        print(f"site {arguments.key} is added")

    _with_services(arguments, work)


def _site_expect(arguments: argparse.Namespace) -> None:
    try:
        text = arguments.file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{arguments.file} cannot be read: {error}", hint="save it as CSV in UTF-8") from error

    def work(services: Services) -> None:
        with services.database.writing() as session:
            count = sites.set_expected(session, arguments.key, text, services.clock())
            audit.append(session, services.clock(), find_actor(), "site.devices", arguments.key, {"devices": count})
        print(f"site {arguments.key} is to have devices: {count}")

    _with_services(arguments, work)


def _add_destination(commands: Commands[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("destination", help="add platforms to relay to").add_subparsers(
        metavar="ACTION", required=True
    )
    parser = _command(group, "add", "add a platform that gets every record still kept, and all to come")
    parser.add_argument("name")
    parser.add_argument("--url", required=True, help="where to POST")
    parser.add_argument("--kind", default="http-json", choices=destinations.KINDS)
    parser.add_argument("--counts-url", default="", metavar="URL", help="where to POST counts to reconcile by, daily")
    parser.set_defaults(run=_destination_add)
    for action, about in (("disable", "no longer relay to a platform"), ("enable", "relay to it again")):
        parser = _command(group, action, f"{about}; records wait for enabled ones only")
        parser.add_argument("name")
        parser.set_defaults(run=_destination_switch, is_enabled=action == "enable")


def _destination_add(arguments: argparse.Namespace) -> None:
    def work(services: Services) -> None:
        with services.database.writing() as session:
            destinations.add(
                session, arguments.name, arguments.kind, arguments.url, services.clock(), arguments.counts_url
            )
            audit.append(session, services.clock(), find_actor(), "destination.add", arguments.name)
        print(f"destination {arguments.name} is added")

    _with_services(arguments, work)


def _destination_switch(arguments: argparse.Namespace) -> None:
    def work(services: Services) -> None:
        with services.database.writing() as session:
            destinations.set_enabled(session, arguments.name, arguments.is_enabled)
            action = "destination.enable" if arguments.is_enabled else "destination.disable"
            audit.append(session, services.clock(), find_actor(), action, arguments.name)
        print(f"destination {arguments.name} is {'enabled' if arguments.is_enabled else 'disabled'}")

    _with_services(arguments, work)


def _add_backup(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "backup", "write the fleet into one file while it runs: database, settings, keys")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a file that does not exist")
    parser.set_defaults(run=_backup)
    parser = _command(commands, "restore", "make a fleet from a backup, in a directory without one")
    parser.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source", help="what 'backup' wrote")
    parser.add_argument("--database", default="", metavar="URL", help="another PostgreSQL database than it came from")
    parser.set_defaults(run=_restore)


def _backup(arguments: argparse.Namespace) -> None:
    settings = load(arguments.data.resolve(), {"database_url": os.environ.get(DATABASE_URL)})
    octets = backup.back_up(settings, arguments.to.resolve())
    print(f"the fleet in {arguments.data} is backed up in {arguments.to} ({octets / 1e6:.1f} MB); it holds secrets")


def _restore(arguments: argparse.Namespace) -> None:
    backup.restore(arguments.source, arguments.data.resolve(), arguments.database)
    print(f"the fleet is restored in {arguments.data}; bring it to this release with: fengsui-fleet init")


def _with_services(arguments: argparse.Namespace, work: Callable[[Services], None]) -> None:
    services = bootstrap(load(arguments.data.resolve()))
    try:
        check_database(services)
        work(services)
    finally:
        services.close()


if __name__ == "__main__":
    sys.exit(main())
