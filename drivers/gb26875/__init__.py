"""Fire transmitters (user information transmission devices) by GB/T 26875.3-2011: they connect to us.

packet   the control unit: frames, answers
objects  the application data: states, quantities and operations of systems, components and the transmitter
model    what a configuration says
driver   the driver
"""

from drivers.gb26875.driver import Driver

__all__ = ("Driver",)
