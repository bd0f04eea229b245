"""The topic grammar, parse and format side by side. Nobody else concatenates topic strings.

    fs/1/<gateway>/up/<kind>      gateway to fleet
    fs/1/<gateway>/down/<kind>    fleet to gateway

The 1 is the major version of the wire. A gateway's name is also its MQTT user name and client id.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from wire.errors import DecodeError, VersionError

ROOT = "fs"
MAJOR = "1"
GATEWAY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{6,62}")


class Up(StrEnum):
    """Kinds of message that a gateway sends."""

    HELLO = "hello"
    BATCH = "batch"
    LIVE = "live"
    REPORTED = "reported"
    HEALTH = "health"
    PART = "part"
    CHECKLIST = "checklist"
    PROGRESS = "progress"


class Down(StrEnum):
    """Kinds of message that a gateway receives."""

    WELCOME = "welcome"
    ACK = "ack"
    REFUSED = "refused"
    GREET = "greet"
    DESIRED = "desired"
    COMMAND = "command"
    TARGET = "target"


class Topic(msgspec.Struct, frozen=True):
    """A parsed topic."""

    gateway: str
    kind: Up | Down


def is_gateway(name: str) -> bool:
    """Tell whether a name may be a gateway's: 7 to 63 of a-z, 0-9 and '-', not starting with '-'."""
    return GATEWAY_PATTERN.fullmatch(name) is not None


def format_topic(gateway: str, kind: Up | Down) -> str:
    """Write a topic. Raises ValueError for a name that is not a gateway's."""
    if not is_gateway(gateway):
        raise ValueError(f"'{gateway}' is not a gateway name: use 7 to 63 of a-z, 0-9 and '-'")
    direction = "up" if isinstance(kind, Up) else "down"
    return f"{ROOT}/{MAJOR}/{gateway}/{direction}/{kind}"


def parse_topic(topic: str) -> Topic:
    """Read a topic. Raises VersionError for another major version, DecodeError for anything else amiss."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != ROOT:
        raise DecodeError(f"topic '{topic}' is not {ROOT}/{MAJOR}/<gateway>/up|down/<kind>")
    _, major, gateway, direction, kind = parts
    if major != MAJOR:
        raise VersionError(f"topic '{topic}' is of version {major}; this release speaks {MAJOR}")
    if not is_gateway(gateway):
        raise DecodeError(f"topic '{topic}': '{gateway}' is not a gateway name")
    kinds: dict[str, type[Up] | type[Down]] = {"up": Up, "down": Down}
    if direction not in kinds:
        raise DecodeError(f"topic '{topic}': '{direction}' is neither up nor down")
    try:
        return Topic(gateway, kinds[direction](kind))
    except ValueError as error:
        raise DecodeError(f"topic '{topic}': no message kind '{kind}'") from error


def up_filter() -> str:
    """What ingest subscribes to: everything that any gateway sends."""
    return f"{ROOT}/{MAJOR}/+/up/+"


def live_filter(kind: Up) -> str:
    """One kind of message of all gateways."""
    return f"{ROOT}/{MAJOR}/+/up/{kind}"


def down_filter(gateway: str) -> str:
    """What a gateway subscribes to."""
    return f"{ROOT}/{MAJOR}/{gateway}/down/+"


def may_publish(gateway: str, topic: str) -> bool:
    """The broker's rule for gateways: write only below one's own ``up``."""
    return topic.startswith(f"{ROOT}/{MAJOR}/{gateway}/up/")


def may_subscribe(gateway: str, topic_filter: str) -> bool:
    """The broker's rule for gateways: read only below one's own ``down``."""
    return topic_filter.startswith(f"{ROOT}/{MAJOR}/{gateway}/down/")
