"""Sessions, the plans that they belong to, and which months were rated."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0004"
down_revision = "coaching_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("reschedulings", sa.Integer(), nullable=False),
        sa.Column("held_date", sa.String(length=10), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    for column in ("employee_id", "lead_id", "plan_id"):
        op.create_index(op.f(f"ix_sessions_{column}"), "sessions", [column], unique=False)
    op.create_table(
        "absences",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("absent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(op.f("ix_absences_session_id"), "absences", ["session_id"], unique=False)
    op.create_table(
        "actions",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("owner_id", sa.String(), nullable=False),
        sa.Column("due_date", sa.String(length=10), nullable=False),
        sa.Column("followed_up_date", sa.String(length=10), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "number"),
    )
    for column in ("employee_id", "owner_id"):
        op.create_index(op.f(f"ix_actions_{column}"), "actions", [column], unique=False)
    op.create_table(
        "coached",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("since_date", sa.String(length=10), nullable=False),
        sa.Column("reassessment_due", sa.Boolean(), nullable=False),
        sa.Column("active_date", sa.String(length=10), nullable=False),
        sa.Column("closed_date", sa.String(length=10), nullable=False),
        sa.Column("drifted_date", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("plan_id"),
    )
    for column in ("employee_id", "lead_id"):
        op.create_index(op.f(f"ix_coached_{column}"), "coached", [column], unique=False)
    op.create_table(
        "goal_deadlines",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deadline", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "number"),
    )
    op.create_table(
        "rated_months",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "month"),
    )
