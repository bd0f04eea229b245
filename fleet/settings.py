"""Settings of the fleet's programs: ``fleet.toml`` in the data directory, overridden by the command line.

`fengsui-fleet init` writes the file. It holds secrets, so only its owner may read it.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import tomli_w

from fleet.accounts.models import Role
from fleet.errors import SetupError

FILE = "fleet.toml"
PACKET_MOST_OCTETS = 1024 * 1024
"""Of an MQTT packet at any broker: a batch has 512 KiB at most, and its topic."""
HEADING = "# Written by `fengsui-fleet init`. Holds secrets: keep it readable by its owner only."
ADDRESSES = (
    "http", "mqtt", "mqtts", "seedlink", "seedlink_tls",
    "ingest_metrics", "relay_metrics", "upkeep_metrics", "notify_metrics", "seedlink_metrics",
)  # fmt: skip
"""Settings that are ``host:port``, or "" for none."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
DATABASE_URL = "FENGSUI_DATABASE_URL"
"""Environment variable that names the database, for what must not stand on a command line."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a program of the fleet is told at its start. Listen addresses are ``host:port``, "" for none."""

    data_dir: Path
    database_url: str = ""
    """SQLAlchemy URL; "" for ``fleet.db`` in the data directory."""
    http: str = "127.0.0.1:8080"
    """Where the console and the API listen."""
    http_cert_file: str = ""
    """Certificate (PEM, its issuers after it) by which `http` speaks HTTPS, from the data directory; "" for none."""
    http_key_file: str = ""
    """The key of that certificate."""
    mqtt: str = "127.0.0.1:1883"
    """Where the broker listens that `serve` starts itself, for who has a password or a token."""
    mqtts: str = ""
    """Where it listens for gateways that have a certificate, by TLS; "" for nowhere. It needs an authority."""
    mqtts_cert_file: str = "broker.crt"
    """Its own certificate there (PEM, its issuers after it), from the data directory."""
    mqtts_key_file: str = "broker.key"
    """The key of that certificate."""
    broker_program: str = ""
    """"mosquitto" to have `serve` run that as its broker, for gateways with certificates; "" for our own broker."""
    broker_reload: tuple[str, ...] = ()
    """Command by which an external broker reads the list of what was revoked, ["systemctl", "reload", "mosquitto"]."""
    gateway_tokens: bool = True
    """Let gateways in by a token as well. Switch it off once all have certificates."""
    broker_url: str = ""
    """An external broker, ``mqtt://host:port``; "" to start our own at `mqtt`."""
    broker_user: str = "fleet"
    """The name under which ingest and the console sign in at the broker."""
    broker_password: str
    """Their password there."""
    secret_key: str
    """Signs the console's sessions."""
    ingest_metrics: str = "127.0.0.1:9111"
    """Where ingest answers ``/metrics`` and ``/healthz``."""
    ingest_workers: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Processes that decode and commit what gateways send; 0 for what suits the database."""
    relay_metrics: str = "127.0.0.1:9112"
    """Where relay answers ``/metrics`` and ``/healthz``."""
    upkeep_metrics: str = "127.0.0.1:9113"
    """Where upkeep answers ``/metrics`` and ``/healthz``."""
    notify_rules: str = ""
    """File with the rules of notification, from the data directory; "" for nobody to be told."""
    notify_metrics: str = "127.0.0.1:9114"
    """Where notify answers ``/metrics`` and ``/healthz``."""
    seedlink: str = ""
    """Where the SeedLink server listens, 127.0.0.1:18000; "" for nowhere."""
    seedlink_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks from which SeedLink gives waveforms of all stations without a sign-in."""
    seedlink_tls: str = ""
    """Where it listens by TLS (with `http_cert_file`), for others too, who sign in; "" for nowhere."""
    seedlink_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200
    """Most clients of SeedLink at once."""
    seedlink_metrics: str = "127.0.0.1:9115"
    """Where the SeedLink server answers ``/metrics`` and ``/healthz``."""
    organization: str = "Fengsui"
    """Who runs the fleet, as SeedLink and StationXML name it."""
    cap_sender: str = "fengsui"
    """How the alerts of the feed call their sender (CAP 1.2): worldwide unique, such as fengsui@yufu.example."""
    gateways_broker_url: str = ""
    """Where gateways find the broker, as their enrolment tells them, ``mqtts://host:port``; "" for where we find it."""
    ddi_poll_s: Annotated[int, msgspec.Meta(ge=1, le=86_000)] = 300
    """Time between two looks of an update client (DDI)."""
    ddi_gateway_token: str = ""
    """Token by which any update client may speak for any gateway (DDI, GatewayToken); "" for by its own alone."""
    ca_passphrase_file: str = "ca/passphrase"  # noqa: S105 (where it is)
    """File with the passphrase of the authority's keys, from the data directory."""
    cookie_secure: bool = False
    """Send the session cookie over HTTPS only. Set it once a TLS proxy stands in front."""
    certificates: tuple[str, ...] = ()
    """Files of certificates (PEM), from the data directory, whose end is watched: the broker's, the TLS proxy's."""
    oidc_issuer: str = ""
    """OpenID provider that people may sign in by, as it calls itself, https://sso.example/realms/city; "" for none."""
    oidc_client_id: str = ""
    """What the provider calls this console."""
    oidc_client_secret_file: str = "oidc.secret"  # noqa: S105 (where it is)
    """File with the secret that the provider gave this console, from the data directory."""
    oidc_name: str = ""
    """What the button on the sign-in page calls the provider; "" for its host."""
    oidc_role_claim: str = "groups"
    """Claim of the ID token that gives the role: a word or a list; dots lead into it, realm_access.roles."""
    oidc_roles: dict[str, Role] = {}
    """{word of that claim: role}. Of several that apply, the first counts."""
    oidc_sites_claim: str = ""
    """Claim that lists the keys of an enterprise's sites; "" for sites that are set here."""
    relay_timeout_s: float = 10.0
    """How long a destination may take to answer before the same keys are sent again."""
    relay_alarm_batch: int = 50
    """Most records of lane A in one request."""
    relay_batch: int = 500
    """Most records of lane M in one request."""
    rollout_approval_from: Annotated[int, msgspec.Meta(ge=0)] = 20
    """Rollouts to so many gateways or more need another account's approval; 0 for every rollout."""
    keep_raw_days: Annotated[int, msgspec.Meta(ge=1)] = 30
    """How long every value stays as it came; after that its minute is left."""
    keep_minutes_days: Annotated[int, msgspec.Meta(ge=1)] = 730
    """How long minutes stay; after that their hour is left."""
    keep_hours_days: Annotated[int, msgspec.Meta(ge=1)] = 3650
    """How long hours stay."""
    keep_quarantine_days: Annotated[int, msgspec.Meta(ge=1)] = 365
    """How long what could not be read stays."""
    keep_waveforms_days: Annotated[int, msgspec.Meta(ge=1)] = 7
    """How long waveform packets stay."""
    counts_every_h: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    """Time between two reports of counts to a destination that takes them."""

    def database(self) -> str:
        """Return the database URL in effect."""
        return self.database_url or f"sqlite:///{self.data_dir / 'fleet.db'}"

    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the networks from which SeedLink asks for no sign-in. Raises ValueError."""
        return tuple(map(ipaddress.ip_network, self.seedlink_networks))

    def provider_name(self) -> str:
        """Return what the sign-in page calls the OpenID provider, "" if there is none."""
        return self.oidc_issuer and (self.oidc_name or urlsplit(self.oidc_issuer).hostname or "")

    def gateways_broker(self) -> str:
        """Return the URL of the broker for gateways."""
        if self.gateways_broker_url:
            return self.gateways_broker_url
        if self.mqtts and not self.broker_url:
            return f"mqtts://{self.mqtts}"
        host, port, tls = self.broker()
        return f"mqtt{'s' if tls else ''}://{host}:{port}"

    def broker(self) -> tuple[str, int, bool]:
        """Return host, port and whether to use TLS of the broker in effect."""
        if not self.broker_url:
            host, port = split_address(self.mqtt, "mqtt")
            return ("127.0.0.1" if host == "0.0.0.0" else host, port, False)  # noqa: S104 (compared, not bound)
        parts = urlsplit(self.broker_url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise SetupError(
                f"broker URL '{self.broker_url}' is not usable", hint="write mqtt://host:port or mqtts://host:port"
            )
        tls = parts.scheme == "mqtts"
        return parts.hostname, parts.port or (8883 if tls else 1883), tls


def split_address(text: str, name: str) -> tuple[str, int]:
    """Split ``host:port``. Raises SetupError naming the setting."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SetupError(f"{name}: '{text}' is not host:port", hint="write for example 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def load(data_dir: Path, overrides: Mapping[str, str | None] | None = None) -> Settings:
    """Read the settings of a data directory. Raises SetupError if it was not initialised or holds a mistake."""
    path = data_dir / FILE
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SetupError(
            f"there is no fleet in {data_dir}", hint=f"run: fengsui-fleet init --data {data_dir}"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"{path}: {error}", hint="correct the file, or restore it from a backup") from error
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        settings = msgspec.convert({**document, **given, "data_dir": data_dir}, Settings)
    except msgspec.ValidationError as error:
        raise SetupError(f"{path}: {error}", hint="correct that setting") from error
    for name in ADDRESSES:
        address: str = getattr(settings, name)
        if address or name == "http":
            split_address(address, name)
    settings.broker()
    if settings.broker_program and (settings.broker_url or not settings.mqtts):
        raise SetupError(
            f"{path}: broker_program needs mqtts, and no broker_url",
            hint='write mqtts = "0.0.0.0:8883" for gateways with certificates, and leave broker_url out',
        )
    if bool(settings.http_cert_file) != bool(settings.http_key_file):
        raise SetupError(f"{path}: http_cert_file and http_key_file go together", hint="write both, or neither")
    _check_provider(settings, path)
    _check_seedlink(settings, path)
    if not settings.cap_sender or any(letter.isspace() or letter in ",<&" for letter in settings.cap_sender):
        raise SetupError(
            f"cap_sender: '{settings.cap_sender}' is no sender", hint="write it without space, comma, < or &"
        )
    return settings


def _check_seedlink(settings: Settings, path: Path) -> None:
    """Raise SetupError for a network that is none, or TLS without a certificate."""
    try:
        settings.networks()
    except ValueError as error:
        raise SetupError(f"{path}: seedlink_networks: {error}", hint="write for example 10.20.0.0/16") from error
    if settings.seedlink_tls and not settings.http_cert_file:
        raise SetupError(f"{path}: seedlink_tls needs http_cert_file and http_key_file", hint="write them, or leave it")


def _check_provider(settings: Settings, path: Path) -> None:
    """Raise SetupError if sign-in by a provider is set by halves, or would go over a wire in the open."""
    if not settings.oidc_issuer:
        return
    parts = urlsplit(settings.oidc_issuer)
    is_local = parts.scheme == "http" and parts.hostname in LOCAL_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or is_local):
        raise SetupError(
            f"{path}: oidc_issuer '{settings.oidc_issuer}' is not usable",
            hint="write https://host, as the provider does",
        )
    if not settings.oidc_client_id or not settings.oidc_roles:
        raise SetupError(
            f"{path}: oidc_issuer needs oidc_client_id and oidc_roles",
            hint='write oidc_client_id, and at the end of the file [oidc_roles] with lines "group" = "operator"',
        )


def save(settings: Settings) -> Path:
    """Write the settings that differ from their default, readable by the owner only. Returns the file."""
    given = {field.name: getattr(settings, field.name) for field in msgspec.structs.fields(settings)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(settings)} | {"oidc_roles": {}}
    del given["data_dir"]
    changed = {name: value for name, value in given.items() if value != defaults[name]}
    text = tomli_w.dumps(msgspec.to_builtins(changed))
    path = settings.data_dir / FILE
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(f"{HEADING}\n\n{text}", "utf-8")
    return path
