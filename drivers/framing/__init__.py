"""Frames that a configuration declares, and the tools of every driver whose frames lie in a stream of octets.

checksum   a catalogue of sums and CRCs as data
pattern    regular expressions that cannot run away
splitter   octets in, valid frames out, whatever came between them
model      how a configuration declares a frame and what it carries
layout     from a declaration to values

Pure: no I/O, no time but that of the clock given.
"""
