"""Declared frames that are asked for."""

from tests.fuzz.wires.declared import WIRE

__all__ = ("WIRE",)
