"""Closed months; totals as texts that sort, for ranks. Scorecards are filled anew from the log."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0003"
down_revision = "performance_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "closed_months", sa.Column("month", sa.String(length=7), nullable=False), sa.PrimaryKeyConstraint("month")
    )
    op.execute("INSERT INTO closed_months SELECT DISTINCT month FROM scorecards WHERE policy_id <> ''")
    op.execute("DELETE FROM scorecards")
    if sa.inspect(op.get_bind()).has_table("followers"):  # not in a new database, where this may come first
        op.execute("DELETE FROM followers WHERE name = 'scorecards'")
        for table in ("parked_events", "skipped_events"):
            op.execute(f"DELETE FROM {table} WHERE follower = 'scorecards'")  # noqa: S608 - names of this file
    op.add_column("scorecards", sa.Column("place", sa.String(length=24), nullable=True))
