"""The identity of a gateway on its disk, in the folder ``identity``: its key, and what the fleet gave it for that.

- ``key.pem``: P-256, made once; only its owner reads it
- ``certificate.pem``: the certificate and its issuer's, for TLS
- ``ca.pem``: whom the gateway trusts; ``door-ca.pem``: at the fleet's door
- ``command.pub``: the key by which it knows the fleet's commands
- ``probed-certificate.pem``, ``probed-ca.pem``: a renewed one while the broker is asked whether it takes it
- ``on-site.json``: what a technician's laptop gave before there was a link
- ``identity.json``: all that the fleet gave, written last: what is not in it was never given
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import NameOID

from edge.errors import EdgeError
from provisioning.codes import make_code, read_code
from provisioning.errors import KeyFileError, RequestError
from provisioning.keys import PUBLIC, dump_key, fingerprint, make_key, parse_key, read_file, write_file
from provisioning.kit.documents import Order
from provisioning.requests import make_request
from wire.claim import Issued
from wire.topics import is_gateway

FOLDER = "identity"
NS = 1_000_000_000


class IdentityError(EdgeError):
    """The identity cannot be kept or used. The agent goes on acquiring, and says so; the claim stays usable."""


class OnSite(msgspec.Struct, frozen=True, kw_only=True):
    """What a laptop gave: the order, the broker of its fleet, and the ids of all orders that were taken."""

    order: Order
    broker: str
    taken: tuple[str, ...] = ()


class IdentityFolder:
    """The folder ``identity`` in the agent's data folder. Everything in it is replaced whole or not at all."""

    def __init__(self, data: Path) -> None:
        folder = data / FOLDER
        self.key_file = folder / "key.pem"
        self.cert_file = folder / "certificate.pem"
        self.ca_file = folder / "ca.pem"
        self.command_key_file = folder / "command.pub"
        self.door_ca_file = folder / "door-ca.pem"
        self.probed_cert_file = folder / "probed-certificate.pem"
        self.probed_ca_file = folder / "probed-ca.pem"
        self._code_file = folder / "local-code"
        self._record = folder / "identity.json"
        self._on_site = folder / "on-site.json"

    def read(self) -> Issued | None:
        """Return what the fleet gave, None if it gave nothing yet or that is not whole: then it is asked again."""
        try:
            issued = msgspec.json.decode(self._record.read_bytes(), type=Issued)
            is_whole = self.key_file.exists() and all(
                path.read_bytes() == text.encode() for path, text in self._files(issued)
            )
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return issued if is_whole else None

    def _files(self, issued: Issued) -> tuple[tuple[Path, str], ...]:
        return (
            (self.ca_file, issued.ca),
            (self.command_key_file, issued.command_key),
            (self.cert_file, issued.certificate),
        )

    def key(self) -> EllipticCurvePrivateKey:
        """Return the key, made the first time; durable when this returns. Raises IdentityError."""
        try:
            if self.key_file.exists():
                return parse_key(read_file(self.key_file))
            key = make_key()
            write_file(self.key_file, dump_key(key))
            return key
        except KeyFileError as error:
            raise IdentityError(str(error), hint=error.hint) from error
        except ValueError as error:
            raise IdentityError(
                f"{self.key_file} is not a key: {error}", hint="move it away and make the gateway a new claim"
            ) from error

    def request(self) -> str:
        """Return a certificate signing request by the key, as PEM. Raises IdentityError."""
        return make_request(self.key(), "gateway").decode()

    def local_code(self) -> str:
        """Return the code that this gateway made itself, for its own key alone. Raises IdentityError."""
        try:
            if self._code_file.exists():
                return read_code(read_file(self._code_file).decode("ascii", "replace"))
            code = make_code()
            write_file(self._code_file, code.encode())
        except KeyFileError as error:
            raise IdentityError(str(error), hint=error.hint) from error
        except RequestError as error:
            raise IdentityError(f"{self._code_file}: {error}", hint="remove the file: another is made") from error
        return code

    def on_site(self) -> OnSite | None:
        """Return what a laptop gave, None if it gave nothing."""
        try:
            return msgspec.json.decode(self._on_site.read_bytes(), type=OnSite)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def keep_on_site(self, given: OnSite) -> None:
        """Keep what a laptop gave. Raises IdentityError; then all is as before."""
        try:
            write_file(self._on_site, msgspec.json.encode(given))
        except KeyFileError as error:
            raise IdentityError(str(error), hint=error.hint) from error

    def fingerprint(self) -> str:
        """Return the fingerprint of the key, as the fleet names it. Raises IdentityError."""
        return fingerprint(self.key().public_key())

    def keep(self, issued: Issued, gateway: str = "") -> None:
        """Check and keep what the fleet gave. ``gateway`` is the name that the configuration gives, "" if none.

        Raises IdentityError; then all is as before.
        """
        self.check(issued, gateway)
        try:
            for path, text in self._files(issued):
                write_file(path, text.encode(), PUBLIC)
            write_file(self._record, msgspec.json.encode(issued))
        except KeyFileError as error:
            raise IdentityError(str(error), hint=error.hint) from error

    def check(self, issued: Issued, gateway: str = "") -> None:
        """Look whether what the fleet gave is for this gateway and its key. Raises IdentityError."""
        try:
            leaf = x509.load_pem_x509_certificates(issued.certificate.encode())[0]
            names = [str(name.value) for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            is_ours = leaf.public_key() == self.key().public_key()
        except ValueError as error:
            raise IdentityError(
                f"what the fleet gave is no certificate: {error}", hint="tell the fleet's keeper"
            ) from error
        if not is_ours:
            raise IdentityError("what the fleet gave is for another key", hint="tell whoever keeps the fleet")
        if names != [issued.gateway] or not is_gateway(issued.gateway):
            raise IdentityError(
                f"the certificate names {names}, not '{issued.gateway}'", hint="tell the fleet's keeper"
            )
        if gateway and gateway != issued.gateway:
            raise IdentityError(
                f"the claim is for gateway '{issued.gateway}', and the configuration says '{gateway}'",
                hint="correct [gateway] id, or leave it out: the identity says it",
            )

    def defaults(self) -> dict[str, dict[str, str]]:
        """What a configuration need not say, because the identity does."""
        uplink = {"cert_file": str(self.cert_file), "key_file": str(self.key_file), "ca_file": str(self.ca_file)}
        issued = self.read()
        given = self.on_site()
        if issued is None and given is not None:
            return {"gateway": _describe(given.order), "uplink": uplink | {"url": given.broker}}
        if issued is None:
            return {"uplink": uplink}
        uplink |= {"url": issued.broker, "command_key_file": str(self.command_key_file)}
        return {"gateway": {"id": issued.gateway}, "uplink": uplink}


def _describe(order: Order) -> dict[str, str]:
    said = {"id": order.gateway, "title": order.title, "site": order.site, "sector": order.sector}
    return {name: text for name, text in said.items() if text}
