"""Hostile requests and claims: ``python -m tests.fuzz --kind identity``.

Whatever comes, the door's own errors come of it, and no key is believed whose owner did not sign: an input is made
from true requests of a dozen kinds of keys, spoilt in DER, in PEM or in JSON, so a key that is taken must be one of
theirs, and P-256.
"""

from __future__ import annotations

import base64
import random
import time
from collections import Counter

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from provisioning.codes import hash_code, make_code
from provisioning.errors import RequestError
from provisioning.keys import fingerprint, make_key
from provisioning.requests import read_request
from tests.fuzz.noise import spoil
from wire.claim import Enrol, Renew

KIND = "identity"
EDITS_MOST = 4


def requests() -> list[bytes]:
    """True requests in DER, of keys that are taken and keys that are not."""
    keys = [
        *(make_key() for _ in range(4)),
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(65537, 2048),
        dsa.generate_private_key(1024),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.BrainpoolP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ]
    return [_request(key) for key in keys]


def _request(key: object) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-yufu-0001")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("fleet")]), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]


class Trial:
    """Makes inputs from a seed and feeds them to what stands at the door."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._requests = requests()
        self._known = {fingerprint(read_request(_pem(der))) for der in self._requests[:4]}
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Try one input. Raises whatever is not an answer, AssertionError for a key that nobody signed for."""
        try:
            self.answers[self._rng.choice((self._try_request, self._try_body, self._try_code))()] += 1
        except RequestError as error:
            self.answers[error.name] += 1

    def _try_request(self) -> str:
        der = self._spoil(self._rng.choice(self._requests))
        if self._rng.random() < 0.1:  # a key put into another's request
            der = self._splice()
        text = _pem(der)
        return self._believe(self._spoil(text) if self._rng.random() < 0.2 else text)

    def _splice(self) -> bytes:
        one, other = self._rng.sample(self._requests, 2)
        cut = self._rng.randrange(min(len(one), len(other)))
        return one[:cut] + other[cut:]

    def _try_body(self) -> str:
        asked: Enrol | Renew = Enrol(claim=make_code(), csr=_pem(self._rng.choice(self._requests)).decode())
        if self._rng.random() < 0.5:
            asked = Renew(gateway="gw-yufu-0001", csr=asked.csr)
        try:
            read = msgspec.json.decode(self._spoil(msgspec.json.encode(asked)), type=type(asked))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "request-unreadable"
        if isinstance(read, Enrol):
            hash_code(read.claim)
        return self._believe(read.csr.encode())

    def _try_code(self) -> str:
        text = self._spoil(make_code().encode()).decode(self._rng.choice(("latin-1", "utf-16", "utf-8")), "replace")
        assert len(hash_code(text)) == 64
        return "code"

    def _believe(self, text: bytes) -> str:
        assert fingerprint(read_request(text)) in self._known, "a key was believed that nobody signed for"
        return "key"

    def _spoil(self, octets: bytes) -> bytes:
        return b"".join(spoil(self._rng, [octets], self._rng.randint(0, EDITS_MOST)))


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE REQUEST-----\n%s-----END CERTIFICATE REQUEST-----\n" % base64.encodebytes(der)


def measure(runs: int, seed: int) -> dict[str, object]:
    """Try inputs and count the answers. Raises at the first that breaks something."""
    trial, began = Trial(seed), time.monotonic()
    for _ in range(runs):
        trial.run()
    seconds = time.monotonic() - began
    answers = dict(trial.answers.most_common())
    return {"kind": KIND, "inputs": runs, "answers": answers, "seconds": round(seconds, 1), "seed": seed}
