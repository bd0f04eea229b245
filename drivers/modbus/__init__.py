"""Modbus over TCP, TLS and serial lines, in RTU and ASCII frames, also those that a serial server passes on."""

from drivers.modbus.driver import Driver

__all__ = ("Driver",)
