"""Tests of the fleet manager."""
