"""TLS to the fleet, also with a wrong clock: who stands at the other end is always checked, when depends.

While a time source holds the machine's clock, certificates are judged by it. Else the clock may be wrong by years, and
an installation far from people must not be locked out by that: then only what expired before the floor - the newest
time that is known to be past - is refused.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from edge.clock import SET_FLOOR_NS

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME (x509_vfy.h); Python has no name for it."""
NS = 1_000_000_000


RENEW_HINT = (
    "correct cert_file and key_file of [uplink], or remove the folder 'identity' and make the gateway a new claim"
)
OWN_FILES = {
    "KEY_VALUES_MISMATCH": "belongs to another key than the one beside it",
}
"""What OpenSSL finds wrong with one's own certificate, by its reason (sslerr.h, pemerr.h, x509err.h)."""
FROM_OTHER_END = {
    "TLSV1_ALERT_UNKNOWN_CA": "does not know the authority of this gateway's certificate: is it the right fleet?",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "says that this gateway's certificate has expired: it is renewed by itself",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "says that this gateway's certificate was revoked: make it a new claim",
    "SSLV3_ALERT_BAD_CERTIFICATE": "takes no certificate of this kind: make the gateway a new claim",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "does not accept this gateway's certificate: look at its log",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "wants a certificate, and this gateway has none: set cert_file and key_file",
    "WRONG_VERSION_NUMBER": "does not speak TLS at this port: mqtt:// instead of mqtts://, or another port",
}
"""Alerts of the other end (RFC 8446, 6.2) by their names in OpenSSL (sslerr.h)."""
AT_OTHER_END = {
    10: "has a certificate that has expired, by this gateway's clock",
    9: "has a certificate that is not yet valid, by this gateway's clock: is the clock right?",
    18: "has a certificate that nobody vouches for: is ca_file the fleet's?",
    19: "has a certificate of an authority that is not in ca_file",
    20: "has a certificate of an authority that is not in ca_file",
    62: "has a certificate for another name: correct url",
    64: "has a certificate for another address: correct url",
}
"""What is wrong with the other end's certificate, by X509_V_ERR (x509_vfy.h)."""


class UnusableIdentityError(OSError):
    """This gateway's own certificate cannot be used. The uplink says so and tries again: the files may be corrected."""


def explain(error: BaseException) -> str:
    """Say in words for people what went wrong with TLS, with what to do; in the error's own words if it was not TLS."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in AT_OTHER_END:
            return f"the other end {AT_OTHER_END[cause.verify_code]}"
        if isinstance(cause, ssl.SSLError) and (cause.reason or "") in FROM_OTHER_END:
            return f"the other end {FROM_OTHER_END[cause.reason or '']}"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def make_context(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None, *, is_synced: bool, floor_ns: int
) -> ssl.SSLContext:
    """Make a client's context. Raises OSError (ssl.SSLError is one) if a file cannot be used."""
    context = ssl.create_default_context(cafile=ca_file)
    if cert_file is not None:
        if not cert_file.exists():
            raise FileNotFoundError(f"this gateway has no certificate yet: there is no {cert_file}")
        try:
            context.load_cert_chain(cert_file, key_file)
        except ssl.SSLError as error:
            words = OWN_FILES.get(error.reason or "", "or its key cannot be read as PEM")
            raise UnusableIdentityError(f"the certificate {cert_file} {words}: {RENEW_HINT}") from error
    if not is_synced:
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
        context.sslsocket_class = _bound_to(max(floor_ns, SET_FLOOR_NS))
    return context


def _bound_to(floor_ns: int) -> type[ssl.SSLSocket]:
    """Make a socket that takes no peer whose certificate expired before the floor."""

    class FloorSocket(ssl.SSLSocket):
        def do_handshake(self, *args: Any, **kwargs: Any) -> None:
            """Shake hands, then look at the peer's certificate."""
            super().do_handshake(*args, **kwargs)
            until = (self.getpeercert() or {}).get("notAfter")
            if isinstance(until, str) and ssl.cert_time_to_seconds(until) * NS < floor_ns:
                raise ssl.SSLCertVerificationError(f"the certificate of the other end expired at {until}")

    return FloorSocket
