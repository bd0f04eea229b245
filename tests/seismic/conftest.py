"""obspy is the judge in these tests: imported once here, where its own warnings count for nothing."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import obspy
    import obspy.clients.seedlink

__all__ = ("obspy",)
