"""Candidacies, panels and objections; peers who are asked."""

import sqlalchemy as sa
from alembic import op

revision = "promotion_0007"
down_revision = "promotion_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "candidacies",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("candidacy_id", sa.String(), nullable=False),
        sa.Column("competition_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("two_levels", sa.Boolean(), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.Column("manager_id", sa.String(), nullable=False),
        sa.Column("calendar_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("candidacy_id"),
    )
    op.create_index(op.f("ix_candidacies_competition_id"), "candidacies", ["competition_id"], unique=False)
    op.create_index(op.f("ix_candidacies_employee_id"), "candidacies", ["employee_id"], unique=False)
    op.create_table(
        "objections",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.Column("raised_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(op.f("ix_objections_employee_id"), "objections", ["employee_id"], unique=False)
    op.create_table(
        "panels",
        sa.Column("competition_id", sa.String(), nullable=False),
        sa.Column("interviewer_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("competition_id", "interviewer_id"),
    )
    op.create_index(op.f("ix_panels_interviewer_id"), "panels", ["interviewer_id"], unique=False)
    op.create_table(
        "peers_asked",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("peer_id", sa.String(), nullable=False),
        sa.Column("candidacy_id", sa.String(), nullable=False),
        sa.Column("employee_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position", "peer_id"),
    )
    op.create_index(op.f("ix_peers_asked_candidacy_id"), "peers_asked", ["candidacy_id"], unique=False)
    op.create_index(op.f("ix_peers_asked_peer_id"), "peers_asked", ["peer_id"], unique=False)
