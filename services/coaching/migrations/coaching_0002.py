"""A deadline says which event set it."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0002"
down_revision = "coaching_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reassessments", sa.Column("position", sa.BigInteger(), nullable=False, server_default="0"))
