"""Tests that drive a real browser on the console."""
