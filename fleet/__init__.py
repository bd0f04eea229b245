"""The Flask fleet manager: console, API, ingest, relay."""
