"""Remote diagnosis: what gateways were asked to show, and the files that came."""
