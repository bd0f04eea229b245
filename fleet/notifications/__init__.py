"""Notifications: who is told of an alarm, when, by which way, and who is told next if nobody acknowledges."""
