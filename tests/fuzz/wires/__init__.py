"""What a value must stand on, one file for each wire, told without the drivers' own code.

Each finds the valid frames in what was heard and reads in them what a tag may hold. A driver that reports something
else has invented it, or has taken it from where it does not stand.
"""
