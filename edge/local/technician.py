"""What a technician may ask of a gateway from a laptop: one table of requests, whatever way they come (`wire.onsite`).

The rule that keeps acquisition undisturbed: a line that is acquired is never scanned or read beside it. What is on
such a line the checklist and the values tell; to scan it, take its bus out of the configuration first.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from edge.errors import EdgeError
from edge.local.door import Entered, SiteDoor
from edge.local.errand import Errand
from edge.local.gate import Session
from edge.local.requests import clean_name
from edge.local.workplace import Workplace
from provisioning.errors import ProvisioningError, RequestError
from provisioning.kit.documents import Bundle, decode
from wire import onsite
from wire.sample import is_bad

MODBUS_PORT = 502
"""What an address without a port means to the one driver that has such addresses."""
SCANNED = {"units": "--units", "baud": "--baud", "parity": "--parity"}
_requests = msgspec.json.Decoder(onsite.Request)


class OnSiteError(EdgeError):
    """What was asked for is not done; nothing has changed. ``name`` is its word."""

    def __init__(self, name: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.name = name


class Technician:
    """Answers requests. ``run`` in how it stands is another each time that the agent begins."""

    def __init__(self, work: Workplace, door: SiteDoor) -> None:
        self._work = work
        self._door = door
        self._errand = Errand()
        self._run = secrets.token_hex(8)

    async def reply(self, octets: bytes, address: str) -> bytes:
        """Answer a request of JSON that came from an address."""
        return msgspec.json.encode(await self._answer(octets, address))

    async def close(self) -> None:
        """End what is under way."""
        await self._errand.close()

    async def _answer(self, octets: bytes, address: str) -> onsite.Answer:
        try:
            request = _requests.decode(octets)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return onsite.Answer(error=f"not understood: {error}", name="not-understood", hint="is it one request?")
        return msgspec.structs.replace(await self._do(request, address), id=request.id)

    async def _do(self, request: onsite.Request, address: str) -> onsite.Answer:
        try:
            if isinstance(request, onsite.SignIn):
                return await self._sign_in(request, address)
            session = self._door.find(request.token)
            if session is None:
                return onsite.Answer(error="not signed in", name="signed-out", hint="sign in by the site code")
            return onsite.Answer(result=await WORK[type(request)](self, request, session))
        except OnSiteError as error:
            return onsite.Answer(error=str(error), hint=error.hint, name=error.name)
        except RequestError as error:
            return onsite.Answer(error=str(error), hint=error.hint, name=error.name)
        except (EdgeError, ProvisioningError) as error:
            return onsite.Answer(error=str(error), hint=error.hint, name="not-done")

    async def _sign_in(self, request: onsite.SignIn, address: str) -> onsite.Answer:
        name = clean_name(request.name)
        if not name:
            raise OnSiteError("name", "a name is missing", "say who you are: it goes into the journal")
        entered = await self._door.enter(address, request.code, name)
        if isinstance(entered, Entered):
            self._work.say("technician-signed-in", f"{name} from {address}")
            return onsite.Answer(result={"token": entered.token})
        if entered.wait_s > 0:
            error = f"too many wrong codes: wait {entered.wait_s:.0f} s"
            return onsite.Answer(error=error, name="wait", wait_s=entered.wait_s, hint="then type the site code again")
        return onsite.Answer(error="this is not the site code", name="wrong-code", hint="whoever runs the site has it")

    async def _look(self, _request: onsite.Look, _session: Session) -> dict[str, Any]:
        site = self._work.site
        arrival, state = site.arrival(), site.state()
        return {
            "run": self._run,
            "who": msgspec.to_builtins(site.identity()),
            "arrival": msgspec.to_builtins(arrival) if arrival else None,
            "is_connected": state.is_connected,
            "has_session": state.has_session,
            "checks": msgspec.to_builtins(self._work.look()),
            "devices": msgspec.to_builtins(site.devices()),
            "lines": sorted(self._work.lines()),
        }

    async def _ports(self, _request: onsite.Ports, _session: Session) -> dict[str, Any]:
        from edge.tools.ports import list_serial  # only who has a technician needs it

        return {"ports": msgspec.to_builtins(list_serial())}

    async def _scan(self, request: onsite.Scan, session: Session) -> dict[str, Any]:
        words = ["scan", self._free(request.line)]
        for name, option in SCANNED.items():
            if given := getattr(request, name):
                words += [option, _word(given)]
        return self._begin(words, session)

    async def _read(self, request: onsite.Read, session: Session) -> dict[str, Any]:
        words = ["read", self._free(request.line), "--unit", str(request.unit)]
        if request.profile:
            words += ["--profile", _word(request.profile)]
        else:
            asked = {"--function": request.function, "--address": request.address, "--count": request.count}
            words += [str(word) for pair in asked.items() for word in pair]
        return self._begin(words, session)

    def _begin(self, words: list[str], session: Session) -> dict[str, Any]:
        self._errand.begin(words)
        self._work.say("technician-asks", f"{session.name}: {' '.join(words)}")
        return {}

    def _free(self, line: str) -> str:
        """Return the address of a line that is not acquired. Raises OnSiteError."""
        if "://" not in line:
            raise OnSiteError("line", f"'{line}' is no line", "write rtu:///dev/ttyUSB0 or tcp://10.0.0.5")
        if _place(line) in {_place(used) for used in self._work.lines()}:
            raise OnSiteError(
                "line-in-use",
                f"{line} is acquired now, and is not disturbed",
                "the checklist and the values tell what is on it; to scan it, take its bus out of the configuration",
            )
        return _word(line)

    async def _came(self, _request: onsite.Came, _session: Session) -> dict[str, Any]:
        is_over, told = self._errand.came()
        return {"is_over": is_over, "told": told}

    async def _end(self, _request: onsite.End, _session: Session) -> dict[str, Any]:
        self._errand.end()
        return {}

    async def _values(self, request: onsite.Values, _session: Session) -> dict[str, Any]:
        site = self._work.site
        tags = [info for info in site.tags().values() if info.device == request.device]
        if not tags:
            known = ", ".join(device.name for device in site.devices()) or "none"
            raise OnSiteError("device", f"there is no instrument '{request.device}'", f"there are: {known}")
        found = site.readings(tags)
        rows = [
            {
                "tag": info.name,
                "title": info.title,
                "unit": info.unit,
                "value": found[info.name].value,
                "age_s": round(found[info.name].age_s, 1),
                "is_bad": is_bad(found[info.name].quality),
            }
            for info in tags
            if info.name in found
        ]
        return {"values": rows}

    async def _take(self, request: onsite.Take, session: Session) -> dict[str, Any]:
        if self._work.take is None:
            hint = "it names whom to trust: put one beside gateway.toml"
            raise OnSiteError("enrol", "this gateway has no enrol.toml", hint)
        gateway = self._work.take(decode(request.bundle, Bundle))
        self._work.say("technician-bundle", f"{session.name}: {gateway}")
        return {"gateway": gateway}

    async def _try_output(self, request: onsite.TryOutput, session: Session) -> dict[str, Any]:
        said = self._work.try_output(request.output, request.lasts_s)
        self._work.say("output-tried", f"{session.name}: {said}")
        return {"said": said}

    async def _seen(self, request: onsite.Seen, session: Session) -> dict[str, Any]:
        seen = "seen to act" if request.is_seen else "NOT seen to act"
        self._work.say("output-seen", f"{session.name}: output {request.output} was {seen}")
        return {}


def _word(text: str) -> str:
    """Return a text that no option of a command can be. Raises OnSiteError."""
    if text.startswith("-") or not text.isprintable():
        raise OnSiteError("word", f"'{text}' is not taken", "write an address, a number or a name")
    return text


def _place(line: str) -> str:
    """Name what a line is at, so that two ways to write it are one: host and port, or the device's own file."""
    rest = line.partition("://")[2].partition("?")[0]
    if rest.startswith("/"):
        return os.path.realpath(rest)
    host = rest.partition("/")[0]
    return host if ":" in host.rpartition("]")[2] else f"{host}:{MODBUS_PORT}"


Work = Callable[[Technician, Any, Session], Awaitable[dict[str, Any]]]
WORK: Mapping[type[msgspec.Struct], Work] = {
    onsite.Look: Technician._look,
    onsite.Ports: Technician._ports,
    onsite.Scan: Technician._scan,
    onsite.Read: Technician._read,
    onsite.Came: Technician._came,
    onsite.End: Technician._end,
    onsite.Values: Technician._values,
    onsite.Take: Technician._take,
    onsite.TryOutput: Technician._try_output,
    onsite.Seen: Technician._seen,
}
"""{request: what answers it}."""
