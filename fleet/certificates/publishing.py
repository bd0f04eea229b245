"""Writes the list of revoked certificates where brokers read it."""

from __future__ import annotations

from pathlib import Path

from fleet.authority.store import find
from fleet.bootstrap import Services
from fleet.certificates import service
from fleet.errors import SetupError
from provisioning.authority import Purpose
from provisioning.errors import KeyFileError
from provisioning.keys import PUBLIC, write_file


def publish_crl(services: Services) -> Path:
    """Make the list of revoked certificates anew. Returns its file, ``ca/gateways.crl``. Raises SetupError."""
    path = find(services.settings, Purpose.GATEWAYS, "crl")
    with services.database.reading() as session:
        octets = service.make_crl(session, services.authority, services.clock())
    try:
        write_file(path, octets, PUBLIC)
    except KeyFileError as error:
        raise SetupError(str(error), hint=error.hint) from error
    return path
