"""Rollouts: which gateway gets which release, when, and what became of it."""
