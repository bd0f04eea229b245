"""obspy, which judges what we give: imported here, where its own warnings count for nothing."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import obspy
    import obspy.clients.fdsn
    import obspy.clients.seedlink
    import obspy.io.mseed
    import obspy.io.stationxml.core
    from obspy.clients.seedlink.slclient import SLClient
    from obspy.clients.seedlink.slpacket import SLPacket

__all__ = ("SLClient", "SLPacket", "obspy")
