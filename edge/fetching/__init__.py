"""Fetching releases: verified by The Update Framework, resumed over broken links, bounded.

http      requests with a floor of speed, bounds, and the gateway's own trust in TLS
download  one file over any number of broken links
unpack    an archive into an empty folder, and nothing outside it
source    the whole way from a version to a verified file
"""
