"""Kits: what a technician's laptop takes to a site without a link, and what it brings back."""
