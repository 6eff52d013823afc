"""On which days there were check-ins."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0008"
down_revision = "coaching_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "check_ins",
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("check_in_id", sa.String(), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("employee_id", "check_in_id"),
    )
