"""Attention is read by user, and can be turned off."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attention_off",
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("attention_of_user", "attention", ["user_id", "case_id", "at"])


def downgrade() -> None:
    op.drop_index("attention_of_user", table_name="attention")
    op.drop_table("attention_off")
