"""Ed25519 keys by which a gateway knows a command for the fleet's own. Text is PEM, as every tool reads it."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from wire.command import SIGNED_AS, Command, Order, decode_order, encode_order


def make_private_key() -> bytes:
    """Make a key that signs, as PKCS #8 in PEM. Whoever has it commands the gateways."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(text: bytes) -> Ed25519PrivateKey:
    """Read what `make_private_key` made. Raises ValueError for anything else."""
    try:
        key = load_pem_private_key(text, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ValueError("it is not an Ed25519 key")


def read_public_key(text: bytes) -> Ed25519PublicKey:
    """Read a key that verifies, from PEM. Raises ValueError."""
    try:
        key = load_pem_public_key(text)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError("it is not an Ed25519 key")


def write_public_key(private: Ed25519PrivateKey) -> bytes:
    """Write the public half as PEM, for gateways to keep."""
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(private: Ed25519PrivateKey, order: Order) -> Command:
    """Make a command of an order."""
    octets = encode_order(order)
    return Command(order=octets, signature=private.sign(SIGNED_AS + octets))


def verify(public: Ed25519PublicKey, command: Command) -> Order | None:
    """Return the order, None if it was not signed with the private half of this key. Raises DecodeError."""
    try:
        public.verify(command.signature, SIGNED_AS + command.order)
    except InvalidSignature:
        return None
    return decode_order(command.order)
