"""Posts, who holds them, and appointments."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0005"
down_revision = "promotion_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "posts",
        sa.Column("post_id", sa.String(), nullable=False),
        sa.Column("position", sa.String(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("post_id"),
    )
    op.create_index("ix_posts_team_id", "posts", ["team_id"])
    op.create_table(
        "holdings",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("from_date", sa.String(length=10), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "kind", "from_date"),
    )
    op.create_index("ix_holdings_value", "holdings", ["value"])
    op.create_table(
        "appointments",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("appointment_id", sa.String(), nullable=False),
        sa.Column("until_date", sa.String(length=10), nullable=False),
        sa.Column("running", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "appointment_id"),
    )
    op.create_index("ix_appointments_until_date", "appointments", ["until_date"])
    op.create_table(
        "careers_due",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
    )
    op.create_index("ix_careers_due_due_time", "careers_due", ["due_time"])
