"""The agent's ends of the sockets that the command line and the serial console talk to: a line each way.

Only root and the agent's own user may.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.errors import EdgeError
from edge.local.exchange import LINE_MOST, NOT_KEPT, WHERE, Answer, Question, shortened
from edge.local.order import arrange
from edge.local.site import Site
from edge.operating import OperationError
from wire import onsite

if TYPE_CHECKING:  # the memory for it is only taken where there is a site code
    from edge.local.technician import Technician

QUESTION_S, CONSOLE_S = 5.0, 20.0
CREDENTIALS = struct.Struct("3i")
"""``struct ucred`` of Linux: process, user, group."""
STRANGER = msgspec.json.encode(
    Answer(error="this is not your gateway", hint="use sudo, or the user that the agent runs as")
)
_read = msgspec.json.Decoder(Question)


class LineSocket(ABC):
    """Answers until stopped."""

    def __init__(self, path: Path, line_most: int, question_s: float) -> None:
        self._path = path
        self._line_most = line_most
        self._question_s = question_s
        self._server: asyncio.Server | None = None

    @abstractmethod
    async def reply(self, line: bytes) -> bytes:
        """Answer a line."""

    async def start(self) -> None:
        """Listen. Raises EdgeError if the socket cannot be made. One that an earlier run left behind is replaced."""
        try:
            self._path.unlink(missing_ok=True)
            with shortened(self._path) as name:
                self._server = await asyncio.start_unix_server(self._answer, name, limit=self._line_most)
            self._path.chmod(0o600)  # whoever was quicker is turned away by `may_ask`
        except OSError as error:
            raise EdgeError(
                f"socket {self._path} cannot be made: {error.strerror or error}",
                hint="the --data folder must be writable",
            ) from error

    async def stop(self) -> None:
        """Stop listening and leave no socket behind."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._question_s):
                if may_ask(peer_of(writer.get_extra_info("socket"))):
                    answer = await self.reply(await reader.readline())
                else:
                    answer = STRANGER
                writer.write(answer + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):  # nobody asks any more, or without end
            pass
        finally:
            writer.close()


class AlarmSocket(LineSocket):
    """What `fengsui-edge alarms` talks to."""

    def __init__(self, site: Site, path: Path) -> None:
        super().__init__(path, LINE_MOST, QUESTION_S)
        self._site = site

    async def reply(self, line: bytes) -> bytes:
        """Answer a `Question`."""
        return msgspec.json.encode(await self._answer_question(line))

    async def _answer_question(self, line: bytes) -> Answer:
        try:
            question = _read.decode(line)
        except msgspec.MsgspecError as error:
            return Answer(error=f"the agent does not understand: {error}", hint="use the fengsui-edge of its release")
        operation = question.operation
        said = ""
        if operation is not None:
            try:
                said = self._site.operate(msgspec.structs.replace(operation, where=WHERE, command=""))
            except OperationError as error:
                return Answer(error=str(error), hint=error.hint)
            if not await self._site.keep():
                said = f"{said}; {NOT_KEPT}"
        return Answer(alarms=arrange(self._site.alarms()).all, said=said)


class ConsoleSocket(LineSocket):
    """What `fengsui-edge console` talks to: a technician at the serial port, who signs in like any other."""

    def __init__(self, technician: Technician, path: Path) -> None:
        super().__init__(path, onsite.LINE_MOST, CONSOLE_S)
        self._technician = technician

    async def reply(self, line: bytes) -> bytes:
        """Answer an `onsite.Request`."""
        return await self._technician.reply(line, "console")


def peer_of(connection: socket.socket) -> int:
    """Ask the kernel which user is at the other end."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    user: int = CREDENTIALS.unpack(told)[1]
    return user


def may_ask(user: int) -> bool:
    """Tell whether a user may operate this gateway's alarms."""
    return user in (0, os.geteuid())
