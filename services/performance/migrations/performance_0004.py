"""Calibration rounds; a new read model, filled from the log's first event."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0004"
down_revision = "performance_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibration_reviews",
        sa.Column("calibration_id", sa.String(), nullable=False),
        sa.Column("reviewer_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("calibration_id", "reviewer_id", "position"),
    )
    op.create_index(op.f("ix_calibration_reviews_date"), "calibration_reviews", ["date"], unique=False)
    op.create_index(op.f("ix_calibration_reviews_reviewer_id"), "calibration_reviews", ["reviewer_id"], unique=False)
