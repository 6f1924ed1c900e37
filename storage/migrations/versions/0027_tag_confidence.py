"""Tags tell how sure their run was, and which tagger made them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "evidence",
        sa.Column(
            "tag_confidence", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
    )
    op.add_column("evidence", sa.Column("tagger", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("evidence", "tagger")
    op.drop_column("evidence", "tag_confidence")
