"""Detective mode: drafts, findings, and verdicts on them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "finding_drafts",
        sa.Column("machine", sa.String(), primary_key=True),
        sa.Column("stage", sa.String(), primary_key=True),
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("drafts", postgresql.JSONB(), nullable=False),
    )
    op.create_index("ix_finding_drafts_user_id", "finding_drafts", ["user_id"])
    op.create_table(
        "findings",
        sa.Column("machine", sa.String(), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("explicit", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("cases", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("evidence", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("nodes", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
    )
    op.create_index("ix_findings_user_id", "findings", ["user_id"])
    for column in ("cases", "evidence", "nodes"):
        op.create_index(f"findings_{column}", "findings", [column], postgresql_using="gin")
    op.create_table(
        "finding_verdicts",
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("fingerprint", sa.String(), primary_key=True),
        sa.Column("value", sa.SmallInteger(), nullable=False),
        sa.Column("cases", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("evidence", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("nodes", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
    )
    for column in ("cases", "evidence"):
        op.create_index(f"finding_verdicts_{column}", "finding_verdicts", [column], postgresql_using="gin")


def downgrade() -> None:
    for table in ("finding_verdicts", "findings", "finding_drafts"):
        op.drop_table(table)
