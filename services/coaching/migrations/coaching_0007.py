"""Of whom there are repetitions of a lead's tasks."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0007"
down_revision = "coaching_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "masteries",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id"),
    )
