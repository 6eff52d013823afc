"""What reports need beside the sums of days: part of `results`, which asks for its rows to be rebuilt."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0007"
down_revision = "performance_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hours",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("kpi_id", sa.String(), nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("least", sa.BigInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "date", "source", "kpi_id", "hour", "position"),
        sqlite_with_rowid=False,
    )
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
        "offences",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("rule_book_id", sa.String(), nullable=False),
        sa.Column("policy_position", sa.BigInteger(), nullable=False),
        sa.Column("offence_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "date", "record_id", "position"),
    )
    op.create_table(
        "contested",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("reviewer_id", sa.String(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "what", "position"),
    )
    op.create_table(
        "findings",
        sa.Column("detection_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("policy_position", sa.BigInteger(), nullable=False),
        sa.Column("stands", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("detection_id", "position"),
    )
    op.create_index(op.f("ix_findings_date"), "findings", ["date"], unique=False)
