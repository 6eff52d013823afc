"""When a candidacy ended, and whether facts have changed under it: rebuilt out of the log."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0010"
down_revision = "promotion_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidacies", sa.Column("ended_date", sa.String(length=10), nullable=False, server_default=""))
    op.add_column("candidacies", sa.Column("drifted", sa.Boolean(), nullable=False, server_default=sa.false()))
