"""Fire transmitters (user information transmission devices) by GB/T 26875.3-2011: they connect to us.

packet   the control unit: frames, answers
objects  the application data: states, quantities and operations of systems, components and the transmitter
tally    how many are in a state
model    what a configuration says
reading  from what a configuration says to what takes it out of objects
driver   the driver
"""

from drivers.gb26875.driver import Driver

__all__ = ("Driver",)
