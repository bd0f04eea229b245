"""Simulated instruments: real protocols over real sockets and ptys, each with a ledger of what it served."""
