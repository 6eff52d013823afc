"""Totals as texts that sort, so that the database ranks them. Scorecards are filled anew from the log."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0003"
down_revision = "performance_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM scorecards")
    if sa.inspect(op.get_bind()).has_table("followers"):  # not in a new database, where this may come first
        op.execute("DELETE FROM followers WHERE name = 'scorecards'")
        for table in ("parked_events", "skipped_events"):
            op.execute(f"DELETE FROM {table} WHERE follower = 'scorecards'")  # noqa: S608 - names of this file
    op.add_column("scorecards", sa.Column("place", sa.String(length=24), nullable=True))
