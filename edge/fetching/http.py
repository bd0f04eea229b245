"""HTTP for releases: one connection a request, slow answers end, nothing is read beyond what was asked for."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

from edge.errors import EdgeError
from provisioning.errors import ProvisioningError

TIMEOUT_S = 30.0
CHUNK = 16 * 1024
SLOW_BYTES_S = 100
"""Slower than this, over `SLOW_S`, no link is: somebody keeps the gateway waiting (TUF, slow retrieval)."""
SLOW_S = 60.0
MetadataTrust = Callable[[], ssl.SSLContext | None]


class FetchError(EdgeError):
    """Nothing came, or not what was asked for. ``is_final``: to ask again would bring the same."""

    def __init__(self, message: str, hint: str = "", *, is_final: bool = False) -> None:
        super().__init__(message, hint)
        self.is_final = is_final


class Http:
    """Requests below one address. ``trust`` makes the TLS context; None for http on the loopback."""

    def __init__(self, url: str, trust: MetadataTrust, now_s: Callable[[], float] = time.monotonic) -> None:
        self._parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._trust = trust
        self._now_s = now_s

    def read(self, path: str, offset: int = 0) -> tuple[int, Iterator[bytes]]:
        """Ask for a path below the address, from an octet on. Returns the status and the chunks. Raises FetchError.

        The connection is closed when the chunks have been read or given up.
        """
        try:
            connection = self._connect()
        except (OSError, ProvisioningError) as error:
            raise FetchError(
                f"whom to trust is not known: {error}", hint="check enrol.toml, or [update] ca_file"
            ) from error
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            connection.request("GET", f"{self._parts.path.rstrip('/')}/{path}", headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            said = f"{self.url} does not answer: {error or type(error).__name__}"
            raise FetchError(said, hint="check the link, and [update] url") from error
        if answer.status not in (200, 206):
            connection.close()
            return answer.status, iter(())
        return answer.status, self._chunks(connection, answer)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._trust())
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def _chunks(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        began_s, octets = self._now_s(), 0
        try:
            while chunk := answer.read1(CHUNK):
                octets += len(chunk)
                if (took_s := self._now_s() - began_s) > SLOW_S:
                    if octets < SLOW_BYTES_S * took_s:
                        raise FetchError(f"{self.url} sends too slowly: {octets} octets in {took_s:.0f} s")
                    began_s, octets = self._now_s(), 0
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(f"{self.url} broke off: {error or type(error).__name__}") from error
        finally:
            connection.close()


class MetadataFetcher(FetcherInterface):
    """How `tuf.ngclient` reads signed metadata; it bounds their sizes itself."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def _fetch(self, url: str) -> Iterator[bytes]:
        status, chunks = self._http.read(url.removeprefix(self._http.url).lstrip("/"))
        if status != 200:
            raise DownloadHTTPError(f"status {status}", status)
        return self._translate(chunks)

    def _translate(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except FetchError as error:
            raise DownloadError(str(error)) from error
