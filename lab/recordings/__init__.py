"""Recordings of real events that instruments replay. Each file names its source in its first lines."""
