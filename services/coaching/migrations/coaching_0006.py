"""Plans say what they are about, and what waits for a person; who mentors."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0006"
down_revision = "coaching_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("plans", sa.Column("kpi_id", sa.String(), nullable=False, server_default=""))
    op.add_column("plans", sa.Column("proposed_date", sa.String(10), nullable=False, server_default=""))
    op.add_column("plans", sa.Column("activated_date", sa.String(10), nullable=False, server_default=""))
    op.add_column("plans", sa.Column("reassessment_due", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("plans", sa.Column("drift_open", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("plans", sa.Column("closed_position", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("plans", sa.Column("watch_until", sa.String(10), nullable=False, server_default=""))
    op.create_table(
        "plan_mentors",
        sa.Column("mentor_id", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("mentor_id", "plan_id"),
    )
