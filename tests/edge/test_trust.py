"""What the agent says when TLS does not come about: what is wrong, and what to do, whatever OpenSSL calls it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from edge.trust import UnusableIdentityError, explain, make_context
from provisioning import authority
from provisioning.authority import Purpose
from provisioning.keys import PUBLIC, dump_key, make_key, write_file

NOW = datetime.now(UTC).replace(microsecond=0)


def certify(
    folder: Path,
    name: str,
    key: EllipticCurvePrivateKey,
    *,
    begins: timedelta,
    ends: timedelta,
    host: str = "127.0.0.1",
) -> Path:
    """A certificate that signs itself, with its key beside it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, SHA256())
    )
    write_file(folder / f"{name}.crt", authority.to_pem([made]), PUBLIC)
    write_file(folder / f"{name}.key", dump_key(key))
    return folder / f"{name}.crt"


@contextmanager
def serving(server: ssl.SSLContext | None) -> Iterator[int]:
    """A server that shakes hands once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        taken, _ = listener.accept()
        with taken:
            try:
                if server is None:
                    taken.recv(100)
                    taken.sendall(b"220 mail.example ESMTP\r\n")
                else:
                    server.wrap_socket(taken, server_side=True).close()
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join()


def knock(context: ssl.SSLContext, port: int, name: str = "127.0.0.1") -> str:
    """Shake hands, and return what the agent would say of it."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            secure.settimeout(5)
            secure.recv(1)
    except OSError as error:
        return explain(error)
    return "fine"


def make_server(folder: Path, *, begins: int = -1, ends: int = 1) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = certify(folder, "server", make_key(), begins=timedelta(days=begins), ends=timedelta(days=ends))
    server.load_cert_chain(file, file.with_suffix(".key"))
    return server


def client(folder: Path, cert: Path | None = None) -> ssl.SSLContext:
    key = cert.with_suffix(".key") if cert else None
    return make_context(folder / "server.crt", cert, key, is_synced=True, floor_ns=0)


def test_a_certificate_and_key_that_do_not_match_are_named(tmp_path: Path) -> None:
    make_server(tmp_path)
    cert = certify(tmp_path, "gw", make_key(), begins=timedelta(0), ends=timedelta(days=1))
    write_file(cert.with_suffix(".key"), dump_key(make_key()))
    with pytest.raises(UnusableIdentityError, match=r"gw\.crt belongs to another key .* make the gateway a new claim"):
        client(tmp_path, cert)


def test_files_that_are_no_pem_are_named(tmp_path: Path) -> None:
    make_server(tmp_path)
    cert = certify(tmp_path, "gw", make_key(), begins=timedelta(0), ends=timedelta(days=1))
    cert.write_text("not a certificate")
    with pytest.raises(UnusableIdentityError, match=r"gw\.crt or its key cannot be read as PEM"):
        client(tmp_path, cert)


@pytest.mark.parametrize(
    ("days", "words"),
    [({"begins": -2, "ends": -1}, "has expired"), ({"begins": 1, "ends": 2}, "not yet valid"), ({}, "fine")],
)
def test_the_other_ends_certificate_is_judged_in_words(tmp_path: Path, days: dict[str, int], words: str) -> None:
    server = make_server(tmp_path, **days)
    context = client(tmp_path)
    with serving(server) as port:
        said = knock(context, port)
    assert words in said


def test_another_authority_another_name_and_no_tls_are_told_apart(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    (tmp_path / "other").mkdir()
    make_server(tmp_path / "other")
    for context, name, words in (
        (client(tmp_path / "other"), "127.0.0.1", "vouches for"),
        (client(tmp_path), "127.0.0.2", "correct url"),
    ):
        with serving(server) as port:
            assert words in knock(context, port, name)
    with serving(None) as port:
        assert "does not speak TLS at this port" in knock(client(tmp_path), port)


def test_what_the_other_end_says_of_our_certificate_is_told_with_what_to_do(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    server.verify_mode = ssl.CERT_REQUIRED
    root = authority.make_root(Purpose.GATEWAYS, make_key(), "Fengsui", NOW)
    server.load_verify_locations(cadata=authority.to_pem([root.certificate]).decode())
    with serving(server) as port:
        assert "wants a certificate" in knock(client(tmp_path), port)
    cert = certify(tmp_path, "gw", make_key(), begins=timedelta(days=-1), ends=timedelta(days=1))
    with serving(server) as port:
        assert "does not know the authority of this gateway's certificate" in knock(client(tmp_path, cert), port)


def test_what_is_no_tls_keeps_its_own_words() -> None:
    assert explain(TimeoutError()) == "TimeoutError"
    assert explain(OSError("no route to host")) == "no route to host"
