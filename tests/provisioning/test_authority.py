"""The authority, judged by OpenSSL's own command line as well as by ourselves."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from provisioning import authority
from provisioning.authority import Issuer, Purpose, Revoked
from provisioning.errors import AuthorityError, RequestError
from provisioning.keys import make_key
from provisioning.requests import make_request, read_request

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GATEWAY = "gw-yufu-0001"
BEGIN, END = b"-----BEGIN CERTIFICATE REQUEST-----\n", b"-----END CERTIFICATE REQUEST-----\n"


def found(purpose: Purpose = Purpose.GATEWAYS, now: datetime = NOW) -> Issuer:
    root = authority.make_root(purpose, make_key(), "Fengsui", now)
    key = make_key()
    certificate = authority.issue_intermediate(root, purpose, key.public_key(), "Fengsui", now)
    return authority.check_chain(key, [certificate, root.certificate], now)


def openssl(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def verify(folder: Path, issuer: Issuer, leaf: x509.Certificate, purpose: str, *more: str | Path) -> tuple[int, str]:
    for name, certificates in (("root", [issuer.root]), ("between", issuer.intermediates), ("leaf", [leaf])):
        (folder / f"{name}.pem").write_bytes(authority.to_pem(certificates))
    at = str(int(NOW.timestamp()))
    given = ("-CAfile", folder / "root.pem", "-untrusted", folder / "between.pem", "-attime", at, "-x509_strict")
    return openssl("verify", *given, "-purpose", purpose, *more, folder / "leaf.pem")


def test_openssl_takes_a_gateway_as_a_client_and_never_as_a_server(tmp_path: Path) -> None:
    issuer = found()
    leaf = authority.issue_gateway(issuer, GATEWAY, make_key().public_key(), NOW)
    assert verify(tmp_path, issuer, leaf, "sslclient")[0] == 0
    code, words = verify(tmp_path, issuer, leaf, "sslserver")
    assert code != 0
    assert "purpose" in words


def test_openssl_reads_what_we_meant(tmp_path: Path) -> None:
    leaf = authority.issue_gateway(found(), GATEWAY, make_key().public_key(), NOW)
    (tmp_path / "leaf.pem").write_bytes(authority.to_pem([leaf]))
    _, words = openssl("x509", "-in", tmp_path / "leaf.pem", "-noout", "-text")
    for expected in (
        "Subject: CN = gw-yufu-0001",
        "ASN1 OID: prime256v1",
        "CA:FALSE",
        "TLS Web Client Authentication",
        "Digital Signature",
        "Not Before: Nov 25 12:00:00 2026 GMT",
        "Not After : Dec 26 12:00:00 2026 GMT",
    ):
        assert expected in words
    assert "Server Authentication" not in words


def test_openssl_refuses_a_revoked_certificate_by_our_list(tmp_path: Path) -> None:
    issuer = found()
    good, bad = (authority.issue_gateway(issuer, GATEWAY, make_key().public_key(), NOW) for _ in range(2))
    crl = authority.make_crl(issuer, [Revoked(bad.serial_number, NOW)], NOW)
    (tmp_path / "list.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    check = ("-crl_check", "-CRLfile", tmp_path / "list.pem")
    assert verify(tmp_path, issuer, good, "sslclient", *check)[0] == 0
    code, words = verify(tmp_path, issuer, bad, "sslclient", *check)
    assert code != 0
    assert "certificate revoked" in words


def test_a_list_is_good_for_a_week_at_least_and_its_numbers_grow() -> None:
    issuer = found()
    first, later = (authority.make_crl(issuer, [], NOW + timedelta(hours=hours)) for hours in (0, 1))
    assert first.next_update_utc is not None
    assert first.next_update_utc - NOW >= timedelta(days=7)
    numbers = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in (first, later)]
    assert numbers[0] < numbers[1]


def test_hierarchies_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    gateways, services = found(), found(Purpose.SERVICES)
    service = authority.issue_service(services, "fleet", make_key().public_key(), NOW)
    assert verify(tmp_path, services, service, "sslclient")[0] == 0
    (tmp_path / "other.pem").write_bytes(authority.to_pem([gateways.root]))
    given = ("-CAfile", tmp_path / "other.pem", "-untrusted", tmp_path / "between.pem")
    assert openssl("verify", *given, tmp_path / "leaf.pem")[0] != 0


def test_openssl_takes_a_server_by_name_and_by_address(tmp_path: Path) -> None:
    issuer = found(Purpose.SERVICES)
    leaf = authority.issue_server(issuer, ["fleet.example", "10.0.0.7", "::1"], make_key().public_key(), NOW)
    for check in (("-verify_hostname", "fleet.example"), ("-verify_ip", "10.0.0.7"), ("-verify_ip", "::1")):
        assert verify(tmp_path, issuer, leaf, "sslserver", *check)[0] == 0
    assert verify(tmp_path, issuer, leaf, "sslserver", "-verify_hostname", "other.example")[0] != 0


def test_a_gateways_intermediate_makes_no_authority(tmp_path: Path) -> None:
    issuer = found()
    below = authority.issue_intermediate(issuer, Purpose.GATEWAYS, (key := make_key()).public_key(), "X", NOW)
    rogue = Issuer(key, (below, *issuer.chain))
    leaf = authority.issue_gateway(rogue, GATEWAY, make_key().public_key(), NOW)
    assert verify(tmp_path, rogue, leaf, "sslclient")[0] != 0


def test_serials_are_random_and_large() -> None:
    issuer = found()
    serials = {authority.issue_gateway(issuer, GATEWAY, make_key().public_key(), NOW).serial_number for _ in range(50)}
    assert len(serials) == 50
    assert min(serials) > 2**64


def test_a_certificate_never_outlives_its_issuer() -> None:
    issuer = found(now=NOW - authority.INTERMEDIATE_LIFETIME + timedelta(days=3))
    leaf = authority.issue_gateway(issuer, GATEWAY, make_key().public_key(), NOW)
    assert leaf.not_valid_after_utc == issuer.certificate.not_valid_after_utc
    with pytest.raises(AuthorityError, match="expired"):
        authority.issue_gateway(issuer, GATEWAY, make_key().public_key(), NOW + timedelta(days=4))


def test_of_a_request_only_the_key_is_taken() -> None:
    key = make_key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "administrator")])
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("fleet")]), critical=False)
    taken = read_request(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    leaf = authority.issue_gateway(found(), GATEWAY, taken, NOW)
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.rfc4514_string() == f"CN={GATEWAY}"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def request_of(key: object) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, GATEWAY)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        pytest.param(lambda: rsa.generate_private_key(65537, 1024), "key-weak", id="RSA of 1024 bits"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), "key-type", id="RSA of 2048 bits"),
        pytest.param(lambda: dsa.generate_private_key(1024), "key-weak", id="DSA"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP224R1()), "key-weak", id="P-224"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), "key-type", id="P-384"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), "key-type", id="secp256k1"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, "key-type", id="Ed25519"),
    ],
)
def test_other_keys_are_refused_by_name(key, name: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_request(request_of(key()))
    assert refused.value.name == name
    assert "P-256" in refused.value.hint


def swapped() -> bytes:
    """A request whose key was exchanged after it was signed."""
    mine, theirs = make_key(), make_key()
    octets = x509.load_pem_x509_csr(make_request(mine, GATEWAY)).public_bytes(Encoding.DER)
    numbers = [key.public_key().public_bytes(Encoding.X962, authority_format()) for key in (mine, theirs)]
    return x509.load_der_x509_csr(octets.replace(*numbers)).public_bytes(Encoding.PEM)


def of_another_version() -> bytes:
    der = x509.load_pem_x509_csr(make_request(make_key(), GATEWAY)).public_bytes(Encoding.DER)
    return BEGIN + base64.encodebytes(der.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)) + END


def authority_format():
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return PublicFormat.UncompressedPoint


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(b"", "csr-unreadable", id="nothing"),
        pytest.param(b"\xff\xfe\x00", "csr-unreadable", id="octets"),
        pytest.param(BEGIN + b"AAAA\n" + END, "csr-unreadable", id="empty PEM"),
        pytest.param(of_another_version(), "csr-unreadable", id="another version"),
        pytest.param(b"x" * 9000, "csr-too-large", id="too large"),
        pytest.param(swapped(), "csr-signature", id="swapped key"),
    ],
)
def test_requests_that_are_none_are_refused_by_name(text: bytes, name: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_request(text)
    assert refused.value.name == name


def test_an_intermediate_from_elsewhere_is_checked() -> None:
    root = authority.make_root(Purpose.GATEWAYS, make_key(), "Outside", NOW)
    other = authority.make_root(Purpose.GATEWAYS, make_key(), "Other", NOW)
    key = make_key()
    good = authority.issue_intermediate(root, Purpose.GATEWAYS, key.public_key(), "Outside", NOW)
    leaf = authority.issue_gateway(Issuer(root.key, root.chain), GATEWAY, key.public_key(), NOW)
    issuer = authority.check_chain(key, [good, root.certificate], NOW)
    assert authority.check_purpose(issuer, Purpose.GATEWAYS) is issuer
    with pytest.raises(AuthorityError, match="may not issue for services"):
        authority.check_purpose(issuer, Purpose.SERVICES)
    for chain, words in (
        ([], "no certificate"),
        ([good, other.certificate], "was not issued by"),
        ([good], "was not issued by"),
        ([leaf, root.certificate], "no authority|may not issue"),
    ):
        with pytest.raises(AuthorityError, match=words):
            authority.check_chain(key, chain, NOW)
    with pytest.raises(AuthorityError, match="another key"):
        authority.check_chain(make_key(), [good, root.certificate], NOW)
    for years in (-1, 30):
        with pytest.raises(AuthorityError, match="is valid from"):
            authority.check_chain(key, [good, root.certificate], NOW + timedelta(days=365 * years))
