"""Alembic migrations of the fleet's database: numbered slugs, expand then contract."""
