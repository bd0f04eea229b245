"""Break a running district and count what is missing. ``python -m tests.faults --trials N --seed S [--kind K]``."""
