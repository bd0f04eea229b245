"""Declared frames that come by themselves."""

from tests.fuzz.wires.declared import WIRE

__all__ = ("WIRE",)
