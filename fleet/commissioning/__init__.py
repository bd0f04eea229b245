"""Commissioning: what a technician gave on site, what the gateway checks, and the report that is signed."""
