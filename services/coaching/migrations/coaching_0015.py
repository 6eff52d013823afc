"""What is known of a plan is in one place: since when it is in its state, when it was closed, and when it drifted."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0015"
down_revision = "coaching_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("since_date", "closed_date", "drifted_date"):
        op.add_column("plans", sa.Column(name, sa.String(10), nullable=False, server_default=""))
    op.drop_column("plans", "drift_open")
    op.drop_table("coached")
