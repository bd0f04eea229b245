"""Alembic's entry: runs migrations on the connection that `fleet.migrations.revisions` hands over."""

from __future__ import annotations

from alembic import context

from fleet.db import Base, load_models

load_models()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
