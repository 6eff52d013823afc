"""Rows of two times, scorecards. Every read model is filled anew from the log's first event."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0002"
down_revision = "performance_0001"
branch_labels = None
depends_on = None

BEFORE = (
    "aggregations",
    "detection_policies",
    "detections",
    "employees",
    "judged_kpis",
    "judgements",
    "kpis",
    "leads",
    "memberships",
    "readings",
    "targets",
    "teams",
)
FOLLOWERS = "('people', 'catalogue', 'results', 'detections')"


def upgrade() -> None:
    for name in BEFORE:
        op.drop_table(name)
    if sa.inspect(op.get_bind()).has_table("followers"):  # not in a new database, where this may come first
        op.execute(f"DELETE FROM followers WHERE name IN {FOLLOWERS}")  # noqa: S608 - names of this file
        for table in ("parked_events", "skipped_events"):
            op.execute(f"DELETE FROM {table} WHERE follower IN {FOLLOWERS}")  # noqa: S608 - names of this file
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
        "disputes",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "date", "source", "measure", "position"),
    )
    op.create_table(
        "employees", sa.Column("employee_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("employee_id")
    )
    op.create_table(
        "judged_by",
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("effective_date", sa.String(length=10), nullable=False),
        sa.Column("rule", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id", "effective_date"),
    )
    op.create_table(
        "judgements",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        info={"delivery": True},
    )
    op.create_index(op.f("ix_judgements_due_time"), "judgements", ["due_time"], unique=False)
    op.create_table(
        "leads",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("from_date", sa.String(length=10), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("until_date", sa.String(length=10), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "from_date", "position"),
    )
    op.create_table(
        "leads_ever",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "lead_id"),
    )
    op.create_table(
        "memberships",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("from_date", sa.String(length=10), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("until_date", sa.String(length=10), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "from_date", "position"),
    )
    op.create_index(op.f("ix_memberships_team_id"), "memberships", ["team_id"], unique=False)
    op.create_table(
        "moves",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id"),
    )
    op.create_table(
        "parts",
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("aggregation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kpi_id", "measure"),
    )
    op.create_index(op.f("ix_parts_measure"), "parts", ["measure"], unique=False)
    op.create_table(
        "readings",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "date", "source", "measure", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "records",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
    )
    op.create_index(op.f("ix_records_date"), "records", ["date"], unique=False)
    op.create_index(op.f("ix_records_employee_id"), "records", ["employee_id"], unique=False)
    op.create_table(
        "resting",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "month"),
    )
    op.create_table(
        "rules",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("effective_date", sa.String(length=10), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "rule_id", "effective_date", "position"),
    )
    op.create_table(
        "scorecards",
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("total", sa.String(), nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("month", "employee_id", "position"),
    )
    op.create_table("teams", sa.Column("team_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("team_id"))
    op.create_table(
        "violations",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("offence", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "position"),
    )
    op.create_index(op.f("ix_violations_employee_id"), "violations", ["employee_id"], unique=False)
    # ### end Alembic commands ###
