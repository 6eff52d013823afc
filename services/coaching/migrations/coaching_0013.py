"""PIPs with who drafted them, witnesses a refusal and hears an appeal."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0013"
down_revision = "coaching_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("drafter_id", "witness_id", "hearer_id"):
        op.add_column("pips", sa.Column(name, sa.String(), nullable=False, server_default=""))
