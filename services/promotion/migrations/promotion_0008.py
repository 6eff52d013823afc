"""Stages of candidacies."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0008"
down_revision = "promotion_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "staged_cycles",
        sa.Column("cycle_id", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("cycle_id"),
    )
    op.create_index(op.f("ix_staged_cycles_year"), "staged_cycles", ["year"], unique=False)
    op.create_table(
        "staged_competitions",
        sa.Column("competition_id", sa.String(), nullable=False),
        sa.Column("cycle_id", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("rules_position", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("competition_id"),
    )
    op.create_index(op.f("ix_staged_competitions_cycle_id"), "staged_competitions", ["cycle_id"], unique=False)
    op.create_index(op.f("ix_staged_competitions_year"), "staged_competitions", ["year"], unique=False)
    op.create_table(
        "staged_candidacies",
        sa.Column("candidacy_id", sa.String(), nullable=False),
        sa.Column("competition_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("ended", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("candidacy_id"),
    )
    op.create_index(
        op.f("ix_staged_candidacies_competition_id"), "staged_candidacies", ["competition_id"], unique=False
    )
    op.create_table(
        "stage_outcomes",
        sa.Column("candidacy_id", sa.String(), nullable=False),
        sa.Column("stage", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("candidacy_id", "stage"),
    )
