"""Competitions."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0004"
down_revision = "promotion_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "competitions",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("competition_id", sa.String(), nullable=False),
        sa.Column("cycle_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("competition_id"),
    )
    op.create_index(op.f("ix_competitions_cycle_id"), "competitions", ["cycle_id"], unique=False)
    op.create_table(
        "competition_deadlines",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        info={"delivery": True},
    )
    op.create_index(op.f("ix_competition_deadlines_due_time"), "competition_deadlines", ["due_time"], unique=False)
