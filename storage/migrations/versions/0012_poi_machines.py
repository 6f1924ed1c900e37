"""A person of interest names the machine that looks for it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pois", sa.Column("machine", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("pois", "machine")
