"""Local alarms: what a gateway watches, how each alarm stands, and what an operator may do. Pure, by ISA-18.2."""

from edge.alarms.conditions import usable
from edge.alarms.engine import Alarms, Change, Standpoint
from edge.alarms.standing import NEVER

__all__ = ("NEVER", "Alarms", "Change", "Standpoint", "usable")
