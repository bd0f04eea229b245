"""Provisioning without a link: the kit on a technician's laptop, its book, and the bundles that it makes."""
