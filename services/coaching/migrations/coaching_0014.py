"""Days of what was measured that plans and PIPs keep."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0014"
down_revision = "coaching_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("plan_measured_days", "pip_measured_days"):
        op.create_table(
            name,
            sa.Column("holder_id", sa.String(), nullable=False),
            sa.Column("start_date", sa.String(length=10), nullable=False),
            sa.Column("end_date", sa.String(length=10), nullable=False),
            sa.PrimaryKeyConstraint("holder_id", "start_date", "end_date"),
            sqlite_with_rowid=False,
        )
