"""Tests of remote diagnosis on a gateway."""
