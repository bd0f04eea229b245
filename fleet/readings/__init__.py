"""Readings: records as committed, the values in them, and series for charts."""
