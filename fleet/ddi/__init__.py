"""hawkBit's Direct Device Integration: the face that other people's update clients know, on the table of actions."""
