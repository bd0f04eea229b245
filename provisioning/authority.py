"""The fleet's certificate authority: who is a gateway, who is the fleet (X.509, RFC 5280). Pure: no files, no clock.

Two hierarchies that share nothing, so that no gateway ever passes for the fleet, nor a service for a gateway: a root
that is made and kept offline, and an intermediate in the fleet that issues. What an issuer makes is decided here alone;
of a request only the key is taken (`provisioning.requests`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.errors import AuthorityError

ROOT_LIFETIME = timedelta(days=20 * 365)
INTERMEDIATE_LIFETIME = timedelta(days=5 * 365)
GATEWAY_LIFETIME = timedelta(days=30)
SERVICE_LIFETIME = timedelta(days=90)
RENEW_AFTER = timedelta(days=10)
"""A gateway asks anew when a third of its certificate's time is over: two thirds are left for outages."""
RENEWABLE_FOR = timedelta(days=180)
"""After its expiry a certificate's key still renews by itself for so long; beyond that somebody has to approve."""
BACKDATED = timedelta(days=1)
"""NotBefore lies so far back, for clocks that are slow."""
CRL_LIFETIME = timedelta(days=8)
"""Time to the next update of a list: a broker that gets no newer one must not shut everybody out within a week."""


CN_MOST = 64
"""Letters of a common name (RFC 5280, appendix A.1: ub-common-name)."""


class Purpose(StrEnum):
    """What a hierarchy vouches for."""

    GATEWAYS = "gateways"
    SERVICES = "services"


EXTENDED = {
    Purpose.GATEWAYS: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Purpose.SERVICES: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


@dataclass(frozen=True)
class Issuer:
    """An authority's certificate and key. ``chain`` leads from its own certificate up to the root."""

    key: EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """Its own certificate."""
        return self.chain[0]

    @property
    def root(self) -> x509.Certificate:
        """What those who rely on it keep."""
        return self.chain[-1]

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """What a holder sends along with its certificate: the chain without the root."""
        return self.chain[:-1]


@dataclass(frozen=True)
class Revoked:
    """A line of a revocation list."""

    serial: int
    at: datetime


def make_root(purpose: Purpose, key: EllipticCurvePrivateKey, title: str, now: datetime) -> Issuer:
    """Make the root of a hierarchy."""
    name = _name(f"{title} {purpose} root")
    builder = _begin(name, name, key.public_key(), now - BACKDATED, now + ROOT_LIFETIME)
    builder = _as_authority(builder, path_length=1).add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return Issuer(key, (builder.sign(key, SHA256()),))


def issue_intermediate(
    root: Issuer, purpose: Purpose, key: EllipticCurvePublicKey, title: str, now: datetime
) -> x509.Certificate:
    """Issue the certificate of the intermediate that works online. It issues for one purpose, and no authorities."""
    builder = _issue(root, _name(f"{title} {purpose}"), key, now, INTERMEDIATE_LIFETIME)
    builder = _as_authority(builder, path_length=0)
    return builder.add_extension(x509.ExtendedKeyUsage(EXTENDED[purpose]), critical=False).sign(root.key, SHA256())


def issue_gateway(
    issuer: Issuer,
    gateway: str,
    key: EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta = GATEWAY_LIFETIME,
) -> x509.Certificate:
    """Issue a gateway's certificate: CN is its id, its user name and its client id; good for TLS clients only."""
    builder = _issue(issuer, _name(gateway), key, now, lifetime)
    return _as_holder(builder, (ExtendedKeyUsageOID.CLIENT_AUTH,)).sign(issuer.key, SHA256())


def issue_server(issuer: Issuer, hosts: Sequence[str], key: EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
    """Issue a server's certificate for host names and IP addresses; the first is also its CN."""
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    builder = _issue(issuer, _name(hosts[0][:CN_MOST]), key, now, SERVICE_LIFETIME).add_extension(names, critical=False)
    return _as_holder(builder, (ExtendedKeyUsageOID.SERVER_AUTH,)).sign(issuer.key, SHA256())


def issue_service(issuer: Issuer, name: str, key: EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
    """Issue the certificate by which a program of the fleet signs in at the broker: CN is its user name there."""
    builder = _issue(issuer, _name(name), key, now, SERVICE_LIFETIME)
    return _as_holder(builder, (ExtendedKeyUsageOID.CLIENT_AUTH,)).sign(issuer.key, SHA256())


def make_crl(issuer: Issuer, revoked: Iterable[Revoked], now: datetime) -> x509.CertificateRevocationList:
    """Make the list of what was revoked. Its number is the time, so that it always grows."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - BACKDATED)
        .next_update(now + CRL_LIFETIME)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
    )
    for line in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(line.serial).revocation_date(line.at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, SHA256())


def check_chain(key: EllipticCurvePrivateKey, chain: Sequence[x509.Certificate], now: datetime) -> Issuer:
    """Take an issuer whose certificate was made elsewhere. Raises AuthorityError, which says what is wrong.

    ``chain`` leads from the issuer's own certificate up to a root that signed itself.
    """
    if not chain:
        raise AuthorityError("there is no certificate in the chain")
    if chain[0].public_key() != key.public_key():
        raise AuthorityError("the certificate is for another key", hint="sign the request that 'ca request' wrote")
    for depth, certificate in enumerate(chain):
        _check_authority(certificate, depth, now)
    for certificate, above in zip(chain, [*chain[1:], chain[-1]], strict=True):
        try:
            certificate.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise AuthorityError(
                f"'{_shown(certificate)}' was not issued by '{_shown(above)}'",
                hint="give the chain in order: the intermediate first, the root last",
            ) from error
    return Issuer(key, tuple(chain))


def check_purpose(issuer: Issuer, purpose: Purpose) -> Issuer:
    """Take an issuer for a purpose. Raises AuthorityError if its own certificate is bound to another."""
    try:
        bound = issuer.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return issuer  # bound to nothing
    if set(EXTENDED[purpose]) <= set(bound) or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in bound:
        return issuer
    raise AuthorityError(
        f"'{_shown(issuer.certificate)}' may not issue for {purpose}", hint="its extended key usage names other uses"
    )


def to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Write certificates one after another."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _check_authority(certificate: x509.Certificate, depth: int, now: datetime) -> None:
    shown = _shown(certificate)
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise AuthorityError(f"'{shown}' is no authority: {error}", hint="it needs CA:TRUE and keyCertSign") from error
    if not basic.ca or not usage.key_cert_sign or not (usage.crl_sign or depth):
        raise AuthorityError(f"'{shown}' may not issue", hint="it needs CA:TRUE, keyCertSign and cRLSign")
    if basic.path_length is not None and basic.path_length < depth - 1:
        raise AuthorityError(f"'{shown}' allows no authority so far below it", hint="its path length is too short")
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise AuthorityError(
            f"'{shown}' is valid from {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc} only",
            hint="is the clock right? Else have it issued anew",
        )


def _issue(
    issuer: Issuer, subject: x509.Name, key: EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    above = issuer.certificate
    if now < above.not_valid_before_utc:
        raise AuthorityError(
            f"'{_shown(above)}' is valid from {above.not_valid_before_utc} only", hint="is the clock right?"
        )
    if now >= above.not_valid_after_utc:
        raise AuthorityError(f"'{_shown(above)}' expired at {above.not_valid_after_utc}", hint="import a newer one")
    end = min(now + lifetime, above.not_valid_after_utc)
    builder = _begin(subject, above.subject, key, max(now - BACKDATED, above.not_valid_before_utc), end)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(_authority_identifier(issuer), critical=False)


def _begin(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _as_authority(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_usage(signs_certificates=True), critical=True)


def _as_holder(builder: x509.CertificateBuilder, extended: Iterable[x509.ObjectIdentifier]) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise AuthorityError(f"'{text}' is neither a host name nor an IP address", hint="write it in ASCII") from error


def _shown(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
