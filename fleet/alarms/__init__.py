"""Alarms: the present state of each, and the journal of what happened."""
