"""People, as every service keeps them."""

import sqlalchemy as sa
from alembic import op

revision = "gateway_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
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
    op.create_table("teams", sa.Column("team_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("team_id"))
