"""Into how many partitions a follower is divided, and which replicas are alive."""

import sqlalchemy as sa
from alembic import op

revision = "followers_0002"
down_revision = "followers_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("followers", sa.Column("partitions", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "replicas",
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("beat_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("follows", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("instance"),
    )
