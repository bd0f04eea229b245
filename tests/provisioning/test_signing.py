"""Keys and signatures of commands."""

from __future__ import annotations

import subprocess

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from provisioning.signing import (
    make_private_key,
    read_private_key,
    read_public_key,
    sign,
    verify,
    write_public_key,
)
from wire.command import Command, Order
from wire.errors import DecodeError

ORDER = Order(
    id="a1", gateway="gw-test-0001", name="report", arguments={"n": 1}, issued_ns=1, expires_ns=2, author="甲"
)


def test_what_was_signed_is_verified_with_the_public_half_only() -> None:
    key, other = read_private_key(make_private_key()), read_private_key(make_private_key())
    command = sign(key, ORDER)
    assert verify(read_public_key(write_public_key(key)), command) == ORDER
    assert verify(other.public_key(), command) is None


def test_every_changed_octet_of_order_or_signature_is_noticed() -> None:
    key = read_private_key(make_private_key())
    command = sign(key, ORDER)
    for index in range(len(command.order)):
        order = bytearray(command.order)
        order[index] ^= 1
        assert verify(key.public_key(), msgspec.structs.replace(command, order=bytes(order))) is None
    for index in range(64):
        signature = bytearray(command.signature)
        signature[index] ^= 1
        assert verify(key.public_key(), msgspec.structs.replace(command, signature=bytes(signature))) is None


def test_signature_made_for_another_purpose_is_none_for_a_command() -> None:
    key = read_private_key(make_private_key())
    order = msgspec.msgpack.encode(ORDER)
    assert verify(key.public_key(), Command(order=order, signature=key.sign(order))) is None


def test_signed_octets_that_are_no_order_are_refused() -> None:
    key = read_private_key(make_private_key())
    command = Command(order=b"\xc1", signature=key.sign(b"fengsui command 1\0\xc1"))
    with pytest.raises(DecodeError):
        verify(key.public_key(), command)


def test_keys_of_another_kind_and_what_is_no_key_are_refused() -> None:
    curve = generate_private_key(SECP256R1())
    private = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for read, text in ((read_private_key, private), (read_public_key, public)):
        for octets in (text, b"", b"no key", text[:60]):
            with pytest.raises(ValueError, match=r"."):
                read(octets)


def test_openssl_reads_the_keys(tmp_path) -> None:
    key = tmp_path / "command.key"
    key.write_bytes(make_private_key())
    told = subprocess.run(
        ["openssl", "pkey", "-in", key, "-noout", "-text"], capture_output=True, text=True, check=True
    )
    assert "ED25519" in told.stdout.upper()
