"""The gateways of the district, as configuration files with the ports left open."""
