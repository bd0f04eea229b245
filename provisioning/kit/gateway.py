"""The laptop at a gateway on site: over its network or its serial console (`wire.onsite`). Blocks."""

from __future__ import annotations

import http.client
import ssl
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from provisioning.client import DoorError
from provisioning.errors import RequestError
from wire import onsite

ANSWER_S = 30.0
BAUD = 115_200
LOOK_S = 0.5
BACK_S = 90.0
"""So long a gateway may take to begin anew with what it was given."""
Tell = Callable[[int, int], None]
"""Told how much is done, and of how much."""


class Way(Protocol):
    """One exchange with a gateway. Raises DoorError if none comes about."""

    def exchange(self, request: onsite.Request) -> onsite.Answer:
        """Send a request, and return its answer."""

    def close(self) -> None:
        """Hang up."""


class Network:
    """The gateway's own page server, https://host:port. Plain http shows the site code to whoever listens."""

    def __init__(self, url: str, ca_file: Path | None, *, may_be_plain: bool) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise RequestError("address", f"'{url}' is no gateway's address", hint="write https://10.0.0.5:8080")
        if parts.scheme == "http" and not may_be_plain:
            raise RequestError(
                "plain", "by http whoever listens reads the site code", hint="on a cable of your own: --plain"
            )
        self._url, self._parts = url, parts
        try:
            self._context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        except OSError as error:
            raise RequestError(
                "ca", f"{ca_file} cannot be used: {error}", hint="name the page's certificate"
            ) from error

    def exchange(self, request: onsite.Request) -> onsite.Answer:
        """Post a request."""
        host = self._parts.hostname or ""
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(host, self._parts.port, timeout=ANSWER_S, context=self._context)
        else:
            connection = http.client.HTTPConnection(host, self._parts.port, timeout=ANSWER_S)
        try:
            connection.request("POST", onsite.PATH, msgspec.json.encode(request), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            octets = answer.read(onsite.LINE_MOST)
        except (OSError, http.client.HTTPException) as error:
            said = f"{self._url} does not answer: {error or type(error).__name__}"
            raise DoorError(said, hint="check cable, address and [local] listen") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise DoorError(
                f"{self._url} answers with status {answer.status}", hint="does it run a release that knows laptops?"
            )
        answered = read_answer(octets)
        if answered is None:
            raise DoorError(f"what answers at {self._url} is no gateway", hint="is this its address?")
        return answered

    def close(self) -> None:
        """Nothing stays open between two requests."""


class Console:
    """A serial port on whose other end ``fengsui-edge console`` runs. Echo and what a shell says are passed over."""

    def __init__(self, device: str, baud: int) -> None:
        import serial  # only who has a cable needs it

        self._device = device
        try:
            self._port = serial.Serial(device, baud, timeout=LOOK_S, write_timeout=ANSWER_S)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise DoorError(f"{device} cannot be opened: {error}", hint="is it the cable to the gateway?") from error

    def exchange(self, request: onsite.Request) -> onsite.Answer:
        """Send a line, and return the answer to it: all else is an echo, what others print, or was asked before."""
        try:
            self._port.write(b"\n" + msgspec.json.encode(request) + b"\n")  # whatever was cut off before ends here
            return self._read(request.id)
        except OSError as error:
            raise DoorError(f"{self._device}: {error}", hint="is the cable still there?") from error

    def _read(self, asked: str) -> onsite.Answer:
        octets, until = b"", time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            octets += self._port.read(max(1, self._port.in_waiting))
            *lines, octets = octets.split(b"\n")
            for line in lines:
                answer = None if b'"do":' in line[:20] else read_answer(line)
                if answer is not None and answer.id == asked:
                    return answer
        raise DoorError(
            f"{self._device} says nothing that is an answer", hint="log in there, and start: fengsui-edge console"
        )

    def close(self) -> None:
        """Close the port."""
        self._port.close()


class Gateway:
    """A gateway that a technician has signed in at. Raises DoorError, and RequestError where it refuses."""

    def __init__(self, way: Way, code: str, name: str) -> None:
        self._way = way
        self._code = code
        self._name = name
        self._token = ""

    def sign_in(self) -> None:
        """Sign in by the site code."""
        told = self._ask(onsite.SignIn(code=self._code, name=self._name))
        self._token = str(told.get("token", ""))

    def look(self) -> dict[str, Any]:
        """Return how it stands."""
        return self._ask(onsite.Look(token=self._token))

    def ports(self) -> list[dict[str, Any]]:
        """Return its serial ports."""
        told: list[dict[str, Any]] = self._ask(onsite.Ports(token=self._token)).get("ports", [])
        return told

    def scan(self, line: str, units: str, baud: str, parity: str, tell: Tell) -> dict[str, Any]:
        """Have it look who is on a line. Ctrl-C ends that, and what was found by then is returned."""
        self._ask(onsite.Scan(token=self._token, line=line, units=units, baud=baud, parity=parity))
        began = time.monotonic()
        while True:
            try:
                told = self._ask(onsite.Came(token=self._token))
                if told["is_over"]:
                    return self._checked(told["told"])
                tell(int(time.monotonic() - began), 0)
                time.sleep(LOOK_S)
            except KeyboardInterrupt:
                self._ask(onsite.End(token=self._token))

    def _checked(self, told: dict[str, Any]) -> dict[str, Any]:
        if error := told.get("error"):
            raise RequestError("scan", str(error), hint=str(told.get("hint", "")))
        return told

    def values(self, device: str) -> list[dict[str, Any]]:
        """Return the newest values of an instrument that is acquired."""
        told: list[dict[str, Any]] = self._ask(onsite.Values(token=self._token, device=device)).get("values", [])
        return told

    def hand_over(self, bundle: bytes) -> str:
        """Hand a bundle over, and wait until the gateway is back with it. Returns the gateway's name."""
        before = self.look()["run"]
        gateway = str(self._ask(onsite.Take(token=self._token, bundle=bundle)).get("gateway", ""))
        time.sleep(2 * LOOK_S)
        until = time.monotonic() + BACK_S
        while True:
            try:
                self.sign_in()
                standing = self.look()
                if standing["run"] != before and standing["who"]["gateway"] == gateway:
                    return gateway
            except DoorError:
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise DoorError(f"the gateway does not come back as {gateway}", hint="look at its log")
            time.sleep(LOOK_S)

    def try_output(self, output: str, lasts_s: float) -> str:
        """Have an output switched on for some seconds."""
        return str(self._ask(onsite.TryOutput(token=self._token, output=output, lasts_s=lasts_s)).get("said", ""))

    def note_seen(self, output: str, *, is_seen: bool) -> None:
        """Tell it whether the output was seen to act."""
        self._ask(onsite.Seen(token=self._token, output=output, is_seen=is_seen))

    def _ask(self, request: onsite.Request) -> dict[str, Any]:
        answer = self._way.exchange(msgspec.structs.replace(request, id=uuid.uuid4().hex))
        if answer.name == "no-agent":
            raise DoorError(answer.error, hint=answer.hint)
        if answer.error:
            raise RequestError(answer.name or "refused", answer.error, hint=answer.hint)
        return answer.result


def read_answer(octets: bytes) -> onsite.Answer | None:
    """Read an answer; None if it is none."""
    try:
        return msgspec.json.decode(octets, type=onsite.Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
