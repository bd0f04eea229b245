"""Releases: what gateways may be given to run, and who has signed it."""
