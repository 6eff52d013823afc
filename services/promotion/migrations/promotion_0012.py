"""Who holds what is told by histories; answers on evaluation forms are nothing that anybody is promoted by."""

from alembic import op

revision = "promotion_0012"
down_revision = "promotion_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("holdings", "answers"):
        op.drop_table(table)
