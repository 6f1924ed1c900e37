"""The latest chunks of a case are found without reading them all."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("chunks_case", "chunks", ["case_id", "id"])
    op.drop_index("ix_chunks_case_id", table_name="chunks")


def downgrade() -> None:
    op.create_index("ix_chunks_case_id", "chunks", ["case_id"])
    op.drop_index("chunks_case", table_name="chunks")
