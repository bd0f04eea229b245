"""Tests of what the pages are gathered from."""
