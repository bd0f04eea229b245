"""Faults on purpose: a district on one machine, broken in every way that this machine can, and an independent verdict.

__main__     the command line: which trials, on what, and the last line
trials       one fault after another on a running district, and what is counted at the end
storms       kills and power cuts by the hundred
scene        what a fault is given
alarms       causes of alarms that begin all the while
recovery     when a district is well again
watch        what agents and ingest hold of memory and descriptors
verdict      the counts: instruments against platform, by means of their own
planted      bugs in copies of the tree, each to be caught

processes    programs killed, stopped, starved
network      links cut, held, thin
packets      packets lost, late, one way only
names        a name server that stalls or lies
strangers    at the doors; a cloned disk; messages of yesterday
storage      disks that lose power, fill up, rot, go back in time
calls        disks that fail at a write or a sync, or write in another order
clocks       clocks that are wrong or jump
instruments  instruments and adapters that go away
migrations   schemas that are half made
beyond       the fleet's database, and the platform
larger       a larger fleet's PostgreSQL and Mosquitto
disk         a small ext4 of its own, and its power
"""
