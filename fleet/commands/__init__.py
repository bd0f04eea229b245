"""Commands: what the fleet asks a gateway to do once, signed, sent again until answered or expired."""
