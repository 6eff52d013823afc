"""Sharings."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0012"
down_revision = "coaching_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sharings",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sharing_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("sharing_id"),
    )
    op.create_index(op.f("ix_sharings_employee_id"), "sharings", ["employee_id"], unique=False)
