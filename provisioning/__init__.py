"""Identity: how a gateway gets into the fleet, and nobody else does."""
