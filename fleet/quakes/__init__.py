"""Earthquakes: what stations measured, which of it is one event, where it was felt, and who is told."""
