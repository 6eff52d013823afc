"""What eligibility is judged by, in place of the records; and eligibility as it was found last."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0009"
down_revision = "promotion_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("eligibility_policies", "employees", "histories"):
        op.drop_table(table)
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
        "eligibilities",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("ladder_id", sa.String(), nullable=False),
        sa.Column("rung_id", sa.String(), nullable=False),
        sa.Column("vacancy", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "ladder_id"),
    )
    op.create_index(op.f("ix_eligibilities_sequence"), "eligibilities", ["sequence"], unique=False)
    op.create_table(
        "eligibility_deadlines",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        info={"delivery": True},
    )
    op.create_index(op.f("ix_eligibility_deadlines_due_time"), "eligibility_deadlines", ["due_time"], unique=False)
    op.create_table(
        "employees", sa.Column("employee_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("employee_id")
    )
    op.create_table(
        "histories",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("until_date", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("mark", sa.Integer(), nullable=False),
        sa.Column("total", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "kind", "key", "position"),
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
