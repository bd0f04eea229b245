"""Fetching releases."""
