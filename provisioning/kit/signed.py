"""What the fleet signs for those who know its authority by a SHA-256 alone: a gateway on site, a laptop without a link.

The signer's certificate is issued for one signature by the services' hierarchy (CN `SIGNER`, no server) and travels
along with its chain up to the root. What is signed begins with the purpose, so nothing passes for something else.
Time is not looked at here: what is signed says itself how long it is good for.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.errors import RequestError

SIGNER = "kit-signer"
CHAIN_MOST = 4
"""Signer, two intermediates, root."""
FOREIGN_HINT = "is it of another fleet, or was it changed on its way? Make it anew"


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Octets, their signature (ECDSA, SHA-256, DER), and the chain of the signer in PEM, root last."""

    body: bytes
    signature: bytes
    chain: str


def sign(purpose: bytes, body: bytes, key: EllipticCurvePrivateKey, chain: str) -> Signed:
    """Sign octets for a purpose."""
    return Signed(body=body, signature=key.sign(purpose + b"\0" + body, ECDSA(SHA256())), chain=chain)


def verify(purpose: bytes, signed: Signed, anchor_sha256: str) -> bytes:
    """Return the octets that the fleet with this root signed. Raises RequestError: ``foreign`` or ``signature``."""
    chain = _read_chain(signed.chain)
    if chain[-1].fingerprint(SHA256()).hex() != anchor_sha256.replace(":", "").lower():
        raise RequestError("foreign", "another fleet signed this", hint=FOREIGN_HINT)
    try:
        for certificate, above in pairwise(chain):
            _check_authority(above)
            certificate.verify_directly_issued_by(above)
        key = _check_signer(chain[0])
        key.verify(signed.signature, purpose + b"\0" + signed.body, ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise RequestError("signature", "the fleet's signature does not hold", hint=FOREIGN_HINT) from error
    return signed.body


def _read_chain(text: str) -> list[x509.Certificate]:
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise RequestError("signature", "there is no certificate of the signer", hint=FOREIGN_HINT) from error
    if not 2 <= len(chain) <= CHAIN_MOST:
        raise RequestError("signature", f"a chain of {len(chain)} certificates", hint=FOREIGN_HINT)
    return chain


def _check_authority(certificate: x509.Certificate) -> None:
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not basic.ca or not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
        raise ValueError("it may not issue")


def _check_signer(certificate: x509.Certificate) -> EllipticCurvePublicKey:
    names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    extended = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    key = certificate.public_key()
    if names != [SIGNER] or extended != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise ValueError("it signs no kits")
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("it is another kind of key")
    return key
