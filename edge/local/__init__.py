"""The gateway's own page, and the socket of its command line: alarms and values with no cloud."""
