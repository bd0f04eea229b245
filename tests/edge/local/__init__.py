"""The gateway's own page and the socket of its command line."""
