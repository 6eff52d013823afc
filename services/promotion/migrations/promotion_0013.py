"""Until when claims and reservations are kept: rebuilt out of the log."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0013"
down_revision = "promotion_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unfinished",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
    )
    op.create_index(op.f("ix_unfinished_due_time"), "unfinished", ["due_time"], unique=False)
