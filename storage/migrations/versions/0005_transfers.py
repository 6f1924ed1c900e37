"""Uploads can be resumed: what is on its way is noted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WORDS = ("topic", "machine", "kind", "state", "fingerprint", "sha256", "whole", "stored")


def upgrade() -> None:
    op.create_table(
        "transfers",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), nullable=False),
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in WORDS),
        sa.Column("length", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("pieces", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_transfers_case_id", "transfers", ["case_id"])
    op.create_index("ix_transfers_user_id", "transfers", ["user_id"])
    op.create_index("transfers_machine", "transfers", ["machine"])
    op.create_index("transfers_expiry", "transfers", ["expires_at"])


def downgrade() -> None:
    op.drop_table("transfers")
