"""The agent as a bundle that needs no Python."""
