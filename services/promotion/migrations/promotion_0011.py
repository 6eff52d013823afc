"""When applications and competitions closed, and cycles: rebuilt out of the log."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0011"
down_revision = "promotion_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staged_cycles", sa.Column("closed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index(op.f("ix_staged_competitions_year"), "staged_competitions")
    op.drop_column("staged_competitions", "year")
    op.add_column(
        "staged_competitions", sa.Column("applications_closed", sa.String(), nullable=False, server_default="")
    )
    op.add_column("staged_competitions", sa.Column("closed", sa.Boolean(), nullable=False, server_default=sa.false()))
