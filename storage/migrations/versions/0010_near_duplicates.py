"""Evidence that is nearly the same is linked."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "text_signatures",
        sa.Column("evidence_id", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("evidence_id"),
    )
    op.create_index(op.f("ix_text_signatures_case_id"), "text_signatures", ["case_id"], unique=False)
    op.create_table(
        "text_bands",
        sa.Column("band", sa.BigInteger(), nullable=False),
        sa.Column("evidence_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("band", "evidence_id"),
    )
    op.create_index(op.f("ix_text_bands_evidence_id"), "text_bands", ["evidence_id"], unique=False)
    op.create_table(
        "picture_hashes",
        sa.Column("evidence_id", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("evidence_id"),
    )
    op.create_index(op.f("ix_picture_hashes_case_id"), "picture_hashes", ["case_id"], unique=False)
    op.create_table(
        "near_duplicates",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("a", sa.BigInteger(), nullable=False),
        sa.Column("b", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("contained", sa.Float(), nullable=False),
        sa.Column("exact", sa.Boolean(), nullable=False),
        sa.CheckConstraint("a < b", name="near_duplicates_once"),
        sa.ForeignKeyConstraint(["a"], ["evidence.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["b"], ["evidence.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("a", "b", "kind"),
    )
    op.create_index(op.f("ix_near_duplicates_b"), "near_duplicates", ["b"], unique=False)
    op.create_index(op.f("ix_near_duplicates_case_id"), "near_duplicates", ["case_id"], unique=False)


def downgrade() -> None:
    op.drop_table("near_duplicates")
    op.drop_table("picture_hashes")
    op.drop_table("text_bands")
    op.drop_table("text_signatures")
