"""Davis Vantage Pro, Pro2 and Vue consoles with a WeatherLink data logger, on a serial port or on TCP (WeatherLinkIP).

    LF                LF CR                the console wakes up
    LOOP 1 LF         ACK, 99 octets       one packet: what it measures now
    LPS 2 1 LF        ACK, 99 octets       one LOOP2 packet: means, sums and derived values

Source: Davis Instruments, Vantage Serial Communication Reference Manual 2.6.1, sections V and VIII.
"""

from drivers.davis.driver import Driver

__all__ = ("Driver",)
