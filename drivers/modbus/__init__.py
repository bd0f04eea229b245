"""Modbus over TCP, over a serial line (RTU), and RTU frames through a serial server."""

from drivers.modbus.driver import Driver

__all__ = ("Driver",)
