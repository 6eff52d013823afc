"""What coaching rests on of the performance service: people, rules, recorded facts."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0003"
down_revision = "coaching_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("form_id", sa.String(), nullable=False),
        sa.Column("policy_position", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "date", "record_id", "item_id", "position"),
        sqlite_with_rowid=False,
    )
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
        "rules",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("effective_date", sa.String(length=10), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "rule_id", "effective_date", "position"),
    )
    op.create_table("teams", sa.Column("team_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("team_id"))
    op.create_table(
        "violations",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("rule_book_id", sa.String(), nullable=False),
        sa.Column("offence", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "position"),
    )
    op.create_index(op.f("ix_violations_employee_id"), "violations", ["employee_id"], unique=False)
