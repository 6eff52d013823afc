"""What was found of whom, and still stands."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0011"
down_revision = "coaching_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patterns",
        sa.Column("detection_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("start_date", sa.String(length=10), nullable=False),
        sa.Column("end_date", sa.String(length=10), nullable=False),
        sa.Column("stands", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("detection_id"),
    )
    op.create_index("ix_patterns_policy_id", "patterns", ["policy_id"])
    op.create_index("ix_patterns_kpi_id", "patterns", ["kpi_id"])
