"""PIPs, the days that they wait for, and leaves."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0010"
down_revision = "coaching_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pips",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("pip_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("due_date", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("employee_id", "pip_id"),
    )
    for name in ("pip_deadlines", "leaves"):
        op.create_table(
            name,
            sa.Column("kind", sa.String(), nullable=False),
            sa.Column("key", sa.String(), nullable=False),
            sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
            sa.Column("position", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("kind", "key"),
            info={"delivery": True},
        )
        op.create_index(op.f(f"ix_{name}_due_time"), name, ["due_time"], unique=False)
