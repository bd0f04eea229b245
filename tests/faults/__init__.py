"""Faults on purpose: a district on one machine, broken in every way that this machine can, and an independent verdict.

__main__   the command line: which trials, on what, and the last line
trials     one fault after another on a running district
processes  programs killed, stopped, starved
network    links cut, held, thin; strangers at the doors
storage    disks that lose power, fill up, rot, go back in time
beyond     the fleet's database, and the platform
disk       a small ext4 of its own, and its power
verdict    the counts: instruments against platform, by means of their own
"""
