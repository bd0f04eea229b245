"""Certificate signing requests (PKCS #10, RFC 2986): how a gateway makes one, and what the authority takes of one.

Of a request only the public key counts. Whatever it asks for besides - a subject, extensions, a lifetime - is ignored.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from provisioning.errors import RequestError

REQUEST_MOST_OCTETS = 8192
"""A request for a P-256 key takes about 400."""
RSA_LEAST_BITS = 2048
EC_LEAST_BITS = 256
WANTED = "make a P-256 key, as 'fengsui-edge enrol' does"


def make_request(key: EllipticCurvePrivateKey, name: str) -> bytes:
    """Make a request as PEM. Its subject is for people who read it; the authority does not."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM)


def read_request(text: bytes) -> EllipticCurvePublicKey:
    """Return the key of a request whose sender has proved to own it. Raises RequestError, which names what is wrong."""
    if len(text) > REQUEST_MOST_OCTETS:
        raise RequestError("csr-too-large", f"the request has more than {REQUEST_MOST_OCTETS} octets", hint=WANTED)
    try:
        request = x509.load_pem_x509_csr(text)
        key = request.public_key()
    except UnsupportedAlgorithm as error:
        raise RequestError("key-type", f"the key is of an unknown kind: {error}", hint=WANTED) from error
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise RequestError("csr-unreadable", "this is not a certificate signing request in PEM", hint=WANTED) from error
    checked = check_key(key)
    if not _is_signed(request):
        raise RequestError("csr-signature", "the request was not signed by the key that it holds", hint=WANTED)
    return checked


def check_key(key: object) -> EllipticCurvePublicKey:
    """Take a P-256 key. Raises RequestError: ``key-weak`` for what can be broken, ``key-type`` for other kinds."""
    match key:
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return key
        case EllipticCurvePublicKey() if key.curve.key_size < EC_LEAST_BITS:
            raise RequestError("key-weak", f"the curve {key.curve.name} is weak", hint=WANTED)
        case RSAPublicKey() if key.key_size < RSA_LEAST_BITS:
            raise RequestError("key-weak", f"an RSA key of {key.key_size} bits is weak", hint=WANTED)
        case DSAPublicKey():
            raise RequestError("key-weak", "a DSA key is weak", hint=WANTED)
        case EllipticCurvePublicKey():
            raise RequestError("key-type", f"a key on the curve {key.curve.name} is not taken", hint=WANTED)
        case _:
            raise RequestError("key-type", f"{type(key).__name__} is not a kind of key that is taken", hint=WANTED)


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return False
