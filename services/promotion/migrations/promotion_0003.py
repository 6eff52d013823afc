"""Cycles."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0003"
down_revision = "promotion_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cycles",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cycle_id", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("cycle_id"),
    )
    op.create_table(
        "cycle_rules",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(op.f("ix_cycle_rules_policy_id"), "cycle_rules", ["policy_id"], unique=False)
    op.create_table(
        "cycle_deadlines",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        info={"delivery": True},
    )
    op.create_index(op.f("ix_cycle_deadlines_due_time"), "cycle_deadlines", ["due_time"], unique=False)
