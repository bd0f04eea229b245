"""Alarm templates as data, one file each: `edge.template` reads them."""
