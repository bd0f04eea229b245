"""Certificates of gateways: issued, renewed, revoked."""
