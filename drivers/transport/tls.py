"""Who a TLS connection trusts, and who it says it is."""

from __future__ import annotations

import ssl

from drivers.errors import SettingsError
from drivers.transport.settings import LineSettings


def client_context(settings: LineSettings) -> ssl.SSLContext:
    """Make the context of a connection to an instrument: TLS 1.2 or newer, its certificate always verified.

    ``ca_file`` replaces the system's authorities; it may hold the instrument's own certificate, which pins it. Raises
    SettingsError for files that cannot be used.
    """
    check_tls(settings)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file or None, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the TLS files cannot be used: {error}",
            hint="ca_file, cert_file and key_file are readable PEM files; the key has no password",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = settings.check_host
    return context


def check_tls(settings: LineSettings) -> None:
    """Raise SettingsError where the TLS fields contradict each other."""
    if settings.key_file and not settings.cert_file:
        raise SettingsError("key_file without cert_file", hint="name the certificate that the key belongs to")
    if not settings.check_host and not settings.ca_file:
        raise SettingsError(
            "check_host = false without ca_file would trust anybody",
            hint="give the instrument's certificate as ca_file",
        )


def _no_password() -> str:
    """Keep OpenSSL from asking for a password at the terminal."""
    raise ValueError("the key has a password")
