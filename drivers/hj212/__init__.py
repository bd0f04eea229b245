"""Instruments and data loggers that upload by HJ 212-2017: they connect to us, or speak on a serial line.

packet   the codec: frames, data segment, answer
intake   which packets are a present reading, put together where they were split
model    what a configuration says
driver   the driver
"""

from drivers.hj212.driver import Driver

__all__ = ("Driver",)
