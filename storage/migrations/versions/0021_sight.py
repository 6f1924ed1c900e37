"""What was found in removed evidence is out of sight with it, and comes back with it."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

HIDE_INSIDE = """
WITH RECURSIVE inside(id) AS (
    SELECT id FROM evidence WHERE removed_at IS NOT NULL
    UNION
    SELECT evidence.id FROM inside JOIN evidence ON evidence.parent_id = inside.id
)
UPDATE evidence SET hidden_at = now() WHERE hidden_at IS NULL AND id IN (SELECT id FROM inside)
"""


def upgrade() -> None:
    op.add_column("evidence", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("evidence_upload", "evidence", ["upload"])
    op.create_index("arrivals_parent", "arrivals", ["parent"], postgresql_where=sa.text("parent > 0"))
    op.execute("UPDATE evidence SET removed_at = hidden_at WHERE hidden_at IS NOT NULL")
    op.execute(HIDE_INSIDE)


def downgrade() -> None:
    op.execute("UPDATE evidence SET hidden_at = removed_at")
    op.drop_index("arrivals_parent", table_name="arrivals")
    op.drop_index("evidence_upload", table_name="evidence")
    op.drop_column("evidence", "removed_at")
