"""Sites: the places that gateways watch."""
