"""People, catalogue, results, detections."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aggregations",
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("aggregation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kpi_id"),
    )
    op.create_table(
        "detection_policies", sa.Column("policy_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("policy_id")
    )
    op.create_table(
        "detections",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("detection_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(op.f("ix_detections_employee_id"), "detections", ["employee_id"], unique=False)
    op.create_table(
        "employees", sa.Column("employee_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("employee_id")
    )
    op.create_table(
        "judged_kpis",
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("settle_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id"),
    )
    op.create_table(
        "judgements",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        info={"delivery": True},
    )
    op.create_index(op.f("ix_judgements_due_time"), "judgements", ["due_time"], unique=False)
    op.create_table("kpis", sa.Column("kpi_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("kpi_id"))
    op.create_table(
        "leads",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("from_date", sa.String(length=10), nullable=False),
        sa.Column("until_date", sa.String(length=10), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "from_date"),
    )
    op.create_table(
        "memberships",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("from_date", sa.String(length=10), nullable=False),
        sa.Column("until_date", sa.String(length=10), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "from_date"),
    )
    op.create_index(op.f("ix_memberships_team_id"), "memberships", ["team_id"], unique=False)
    op.create_table(
        "readings",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "date", "source", "kpi_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "targets",
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("effective_date", sa.String(length=10), nullable=False),
        sa.Column("minimum", sa.String(), nullable=False),
        sa.Column("maximum", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kpi_id", "team_id", "effective_date"),
    )
    op.create_table("teams", sa.Column("team_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("team_id"))
