"""Relay: from the outbox to the platforms of others."""
