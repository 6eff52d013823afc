"""Suggestions and complaints."""

import sqlalchemy as sa
from alembic import op

revision = "coaching_0005"
down_revision = "coaching_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "suggestions",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("suggestion_key", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("addressee", sa.Integer(), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.Column("about_lead", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("answer_due", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("suggestion_key"),
    )
    op.create_index(op.f("ix_suggestions_employee_id"), "suggestions", ["employee_id"], unique=False)
    op.create_index(op.f("ix_suggestions_lead_id"), "suggestions", ["lead_id"], unique=False)
