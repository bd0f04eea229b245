"""The loss ledger and the reconciliation counts: what each gateway sent, and what it says it no longer has."""
