"""Mosquitto as the fleet's broker: its configuration, who may do what there, and whom it trusts.

Either somebody else runs it, or `fengsui-fleet serve` does (setting ``broker_program``), as a child like any other.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fleet.authority.store import find
from fleet.bootstrap import Services
from fleet.certificates.publishing import publish_crl
from fleet.errors import SetupError
from fleet.settings import PACKET_MOST_OCTETS, Settings, split_address
from provisioning.authority import Purpose
from provisioning.errors import KeyFileError
from provisioning.keys import PUBLIC, write_file

CONFIG, ACL, SERVICES_ACL, PASSWORDS = "mosquitto.conf", "acl", "services-acl", "passwords"
FOLDER, PID_FILE = "mosquitto", "pid"
WHERE = ("/usr/sbin", "/usr/local/sbin")
"""Where programs of the system lie that a user's path may not name."""
HASH_WITHIN_S = 30.0
GATEWAYS_MAY = "pattern write fs/1/%u/up/#\npattern read fs/1/%u/down/#\n"
"""All else is denied. The user name is the CN; a file of its own, for who is called like a service is none."""


@dataclass(frozen=True)
class Doors:
    """Where gateways come in by certificate, and where the fleet's programs do by password; both host:port."""

    gateways: str
    services: str


def write_files(services: Services, folder: Path, doors: Doors) -> list[Path]:
    """Write the configuration and the rules. Returns the files. Raises SetupError, KeyFileError."""
    settings = services.settings
    publish_crl(services)
    texts = {
        ACL: GATEWAYS_MAY,
        SERVICES_ACL: f"user {settings.broker_user}\ntopic readwrite fs/#\n",
        CONFIG: make_config(settings, folder, doors),
    }
    for name, text in texts.items():
        write_file(folder / name, text.encode(), PUBLIC)
    return [folder / name for name in texts]


def make_config(settings: Settings, folder: Path, doors: Doors) -> str:
    """Say where it listens and whom it lets in. Raises SetupError for an address that is none."""
    (host, port), (own_host, own_port) = (
        split_address(doors.gateways, "--mqtts"),
        split_address(doors.services, "--mqtt"),
    )
    lines = [
        "# Written by fengsui-fleet ca mosquitto; docs/operate/broker.md explains it.",
        "per_listener_settings true",
        "persistence false",
        f"max_packet_size {PACKET_MOST_OCTETS}",
        "",
        f"listener {port} {host}",
        f"cafile {find(settings, Purpose.GATEWAYS, 'crt')}",
        f"crlfile {find(settings, Purpose.GATEWAYS, 'crl')}",
        f"certfile {settings.data_dir / settings.mqtts_cert_file}",
        f"keyfile {settings.data_dir / settings.mqtts_key_file}",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        f"acl_file {folder / ACL}",
        "",
        f"listener {own_port} {own_host}",
        "allow_anonymous false",
        f"password_file {folder / PASSWORDS}",
        f"acl_file {folder / SERVICES_ACL}",
    ]
    return "\n".join(lines) + "\n"


def find_program(name: str) -> str:
    """Return where a program is. Raises SetupError."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *WHERE])
    found = shutil.which(name, path=path)
    if found is None:
        raise SetupError(f"there is no program '{name}'", hint="apt install mosquitto, or leave broker_program out")
    return found


def prepare(services: Services) -> list[str]:
    """Write all that Mosquitto needs to the data directory. Returns the command that runs it. Raises SetupError.

    It stays the user that it is: it must read the broker's key, which nobody else may.
    """
    settings, folder = services.settings, services.settings.data_dir / FOLDER
    program, hasher = find_program(settings.broker_program), find_program("mosquitto_passwd")
    passwords = folder / PASSWORDS
    try:
        *_, config = write_files(services, folder, Doors(settings.mqtts, settings.mqtt))
        own = f"user {getpass.getuser()}\npid_file {folder / PID_FILE}\nlog_dest stderr\nconnection_messages false\n\n"
        write_file(config, (own + config.read_text("utf-8")).encode(), PUBLIC)
        write_file(passwords, f"{settings.broker_user}:{settings.broker_password}\n".encode())
        subprocess.run(  # noqa: S603 - found on the path of the system
            [hasher, "-U", str(passwords)], check=True, capture_output=True, timeout=HASH_WITHIN_S
        )
    except KeyFileError as error:
        raise SetupError(str(error), hint=error.hint) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(f"{passwords} cannot be made: {error}", hint="is mosquitto_passwd installed?") from error
    return [program, "-c", str(config)]
