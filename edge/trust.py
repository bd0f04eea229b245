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


def make_context(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None, *, is_synced: bool, floor_ns: int
) -> ssl.SSLContext:
    """Make a client's context. Raises OSError (ssl.SSLError is one) if a file cannot be used."""
    context = ssl.create_default_context(cafile=ca_file)
    if cert_file is not None:
        if not cert_file.exists():
            raise FileNotFoundError(f"this gateway has no certificate yet: there is no {cert_file}")
        context.load_cert_chain(cert_file, key_file)
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
