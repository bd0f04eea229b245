"""NMEA 0183 talkers on a serial line or a TCP port: weather stations, compasses, position, time.

    $WIMWV,214.8,R,5.1,M,A*2B       talker WI, sentence MWV, fields from 1, checksum

A group yields a scan whenever a sentence comes that carries every one of its sources; so a group names tags of one
sentence. A field that is there but empty, or that the station marks as not valid, is a bad value of that scan.
"""

from drivers.nmea.driver import Driver

__all__ = ("Driver",)
