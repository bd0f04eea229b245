"""Gateways: who they are, what they report, the health they send and the cursors of their records."""
