"""The agent's end of the socket that `fengsui-edge alarms` talks to. Only root and the agent's own user may."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

import msgspec

from edge.errors import EdgeError
from edge.local.exchange import LINE_MOST, NOT_KEPT, WHERE, Answer, Question, shortened
from edge.local.order import arrange
from edge.local.site import Site
from edge.operating import OperationError

QUESTION_S = 5.0
CREDENTIALS = struct.Struct("3i")
"""``struct ucred`` of Linux: process, user, group."""
_read = msgspec.json.Decoder(Question)


class AlarmSocket:
    """Answers until stopped."""

    def __init__(self, site: Site, path: Path) -> None:
        self._site = site
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises EdgeError if the socket cannot be made. One that an earlier run left behind is replaced."""
        try:
            self._path.unlink(missing_ok=True)
            with shortened(self._path) as name:
                self._server = await asyncio.start_unix_server(self._answer, name, limit=LINE_MOST)
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
            async with asyncio.timeout(QUESTION_S):
                if may_ask(peer_of(writer.get_extra_info("socket"))):
                    answer = await self._reply(await reader.readline())
                else:
                    answer = Answer(
                        error="this is not your gateway", hint="use sudo, or the user that the agent runs as"
                    )
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):  # nobody asks any more, or without end
            pass
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> Answer:
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


def peer_of(connection: socket.socket) -> int:
    """Ask the kernel which user is at the other end."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    user: int = CREDENTIALS.unpack(told)[1]
    return user


def may_ask(user: int) -> bool:
    """Tell whether a user may operate this gateway's alarms."""
    return user in (0, os.geteuid())
