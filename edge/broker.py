"""A client of the broker that does not wait for one that has hung up."""

from __future__ import annotations

from typing import Any, Self

import aiomqtt


class BrokerClient(aiomqtt.Client):
    """Raises MqttError at once when the other end closes the connection before it has answered CONNECT, as a proxy does
    whose broker is away: the library would wait out its time-out, and alarms with it."""

    _is_connecting = False

    async def __aenter__(self) -> Self:
        """Connect."""
        self._is_connecting = True
        try:
            return await super().__aenter__()
        finally:
            self._is_connecting = False

    def _on_disconnect(self, *told: Any, **named: Any) -> None:
        if self._is_connecting and not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("the connection was closed before the broker answered"))
        else:
            super()._on_disconnect(*told, **named)
