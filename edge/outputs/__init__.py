"""Local outputs: what alarms switch on site.

deciding   what holds an output on, and the turns of its pulses. Pure
output     one output: what it should be, what it is, and the task that makes them one
switches   what an output may be made of: a writable tag, a GPIO line, a program
gpio       a line of a GPIO chip
program    a program with arguments
interlock  the key file without which nothing is written to the plant
"""

from edge.outputs.deciding import is_held
from edge.outputs.interlock import Interlock
from edge.outputs.output import Output
from edge.outputs.switches import Means, make_switch

__all__ = ["Interlock", "Means", "Output", "is_held", "make_switch"]
