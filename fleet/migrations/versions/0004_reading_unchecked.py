"""Values name their tag unchecked: looking it up again for each value cost PostgreSQL two thirds of a drain's time."""

from __future__ import annotations

from alembic import op

revision = "0004_reading_unchecked"
down_revision = "0003_upkeep"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the foreign key. SQLite copies the table for it."""
    with op.batch_alter_table("reading", table_kwargs={"sqlite_with_rowid": False}) as table:
        table.drop_constraint("fk_reading_tag_id", type_="foreignkey")
