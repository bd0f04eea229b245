"""Accounts: people who sign in at the console and the API."""
