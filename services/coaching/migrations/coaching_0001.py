"""Plans."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "plans",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("plan_id"),
    )
    op.create_index(op.f("ix_plans_employee_id"), "plans", ["employee_id"], unique=False)
    op.create_index(op.f("ix_plans_lead_id"), "plans", ["lead_id"], unique=False)
    op.create_table(
        "reassessments",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        info={"delivery": True},
    )
    op.create_index(op.f("ix_reassessments_due_time"), "reassessments", ["due_time"], unique=False)
