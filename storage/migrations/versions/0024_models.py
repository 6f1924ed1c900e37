"""Relations between entities; what models have read, made, and may be told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "relations",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("chunk_id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("predicate", sa.Text(), nullable=False),
        sa.Column("object", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["subject"], ["entities.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["object"], ["entities.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_relations_case_id"), "relations", ["case_id"])
    op.create_index(op.f("ix_relations_chunk_id"), "relations", ["chunk_id"])
    op.create_index("relations_subject", "relations", ["subject"])
    op.create_index("relations_object", "relations", ["object"])
    op.create_table(
        "extractions",
        sa.Column("evidence_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("reading", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("evidence_id", "key"),
    )
    op.create_index("extractions_case", "extractions", ["case_id", "key"])
    op.create_table(
        "embedder",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.CheckConstraint("id = 1", name="embedder_is_one"),
        sa.PrimaryKeyConstraint("id"),
    )
    # Until now there was one embedder.
    op.execute(
        "INSERT INTO embedder (id, name, dimensions, complete) SELECT 1, 'all-MiniLM-L6-v2', 384, true "
        "WHERE EXISTS (SELECT 1 FROM chunks WHERE vector IS NOT NULL)"
    )
    op.create_table(
        "consents",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("case_id", "host"),
    )


def downgrade() -> None:
    op.drop_table("consents")
    op.drop_table("embedder")
    op.drop_table("extractions")
    op.drop_table("relations")
