"""Evidence and cases can leave: hidden for a while, then gone; texts stand apart from the chain."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0013"
branch_labels = None
depends_on = None

FILL = """
INSERT INTO arrivals (upload, sha256, case_id, parent, filename, spare, at)
SELECT upload, sha256, case_id, coalesce(parent_id, 0), filename, false, created_at FROM evidence
WHERE upload <> '' ON CONFLICT DO NOTHING
"""
"""What is there has come by some upload."""


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=None if nullable else sa.func.now(),
    )


def upgrade() -> None:
    op.add_column("evidence", _moment("hidden_at", nullable=True))
    op.add_column("cases", _moment("hidden_at", nullable=True))
    op.create_index(
        "evidence_hidden", "evidence", ["case_id"], postgresql_where=sa.text("hidden_at IS NOT NULL")
    )
    # What lies inside evidence goes by its own upload; it must not vanish with a row alone.
    op.drop_constraint("evidence_parent_id_fkey", "evidence", type_="foreignkey")
    op.create_foreign_key(None, "evidence", "evidence", ["parent_id"], ["id"], ondelete="SET NULL")
    op.create_table(
        "arrivals",
        sa.Column("upload", sa.String(), primary_key=True),
        sa.Column("sha256", sa.String(), primary_key=True),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("filename", sa.Text(), nullable=False, server_default=""),
        sa.Column("spare", sa.Boolean(), nullable=False),
        _moment("at"),
    )
    op.create_index("arrivals_content", "arrivals", ["sha256"])
    op.create_index("arrivals_case", "arrivals", ["case_id"])
    op.create_table(
        "departures",
        sa.Column("upload", sa.String(), primary_key=True),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("evidence", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("contents", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        _moment("at"),
    )
    op.create_index("departures_case", "departures", ["case_id"])
    op.create_index("departures_evidence", "departures", ["evidence"])
    op.create_table(
        "sealed",
        sa.Column("topic", sa.String(), primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True),
        sa.Column("place", sa.String(), primary_key=True),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("evidence", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
    )
    op.create_index("sealed_machine", "sealed", ["machine"])
    op.create_index("sealed_evidence", "sealed", ["evidence"], postgresql_using="gin")
    op.execute(FILL)


def downgrade() -> None:
    op.drop_table("sealed")
    op.drop_table("departures")
    op.drop_table("arrivals")
    op.drop_constraint("evidence_parent_id_fkey", "evidence", type_="foreignkey")
    op.create_foreign_key(None, "evidence", "evidence", ["parent_id"], ["id"], ondelete="CASCADE")
    op.drop_index("evidence_hidden", table_name="evidence")
    op.drop_column("cases", "hidden_at")
    op.drop_column("evidence", "hidden_at")
