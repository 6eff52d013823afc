"""Violations with their rule book; the new version of `results` asks for its rows to be rebuilt."""

import sqlalchemy as sa
from alembic import op

revision = "performance_0006"
down_revision = "performance_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("violations", sa.Column("rule_book_id", sa.String(), nullable=False, server_default=""))
