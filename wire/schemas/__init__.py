"""Generated JSON Schemas of every message (python -m wire.schema)."""
