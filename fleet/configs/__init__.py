"""Desired configuration: what the fleet wants each gateway to run, version by version."""
