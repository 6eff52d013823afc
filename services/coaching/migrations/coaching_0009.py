"""Trainings."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0009"
down_revision = "coaching_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trainings",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("training_id", sa.String(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("trainer_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("training_id"),
    )
    op.create_index(op.f("ix_trainings_team_id"), "trainings", ["team_id"], unique=False)
    op.create_index(op.f("ix_trainings_trainer_id"), "trainings", ["trainer_id"], unique=False)
