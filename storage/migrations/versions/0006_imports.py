"""Folders are imported: their files, and counts of those that follow by triggers."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COUNT = """
CREATE FUNCTION import_files_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- The import's row first: whoever changes files of it waits here for the others, in one order.
  UPDATE imports SET version = version + 1 WHERE id IN (SELECT import_id FROM after);
  IF TG_OP = 'INSERT' THEN
    INSERT INTO import_counts AS c
      SELECT a.import_id, a.state, a.kind, count(*), sum(a.found::int), sum(a.bytes), sum(a.pages),
             sum(a.busy_s), sum(a.busy_s * a.busy_s)
      FROM after AS a GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (import_id, state, kind) DO UPDATE SET
      files = c.files + excluded.files, found = c.found + excluded.found, bytes = c.bytes + excluded.bytes,
      pages = c.pages + excluded.pages, busy_s = c.busy_s + excluded.busy_s,
      busy_s2 = c.busy_s2 + excluded.busy_s2;
  ELSE
    INSERT INTO import_counts AS c
      SELECT d.import_id, d.state, d.kind, sum(d.n), sum(d.n * d.found::int), sum(d.n * d.bytes),
             sum(d.n * d.pages), sum(d.n * d.busy_s), sum(d.n * d.busy_s * d.busy_s)
      FROM (SELECT 1 AS n, a.* FROM after AS a UNION ALL SELECT -1, b.* FROM before AS b) AS d
      GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (import_id, state, kind) DO UPDATE SET
      files = c.files + excluded.files, found = c.found + excluded.found, bytes = c.bytes + excluded.bytes,
      pages = c.pages + excluded.pages, busy_s = c.busy_s + excluded.busy_s,
      busy_s2 = c.busy_s2 + excluded.busy_s2;
  END IF;
  RETURN NULL;
END $$
"""
"""Counts follow the files within the same statement, so that no crash can come between them."""

ON_INSERT = """
CREATE TRIGGER import_files_inserted AFTER INSERT ON import_files
  REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION import_files_counted()
"""
ON_UPDATE = """
CREATE TRIGGER import_files_updated AFTER UPDATE ON import_files
  REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION import_files_counted()
"""


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("told", sa.BigInteger(), nullable=False, server_default="-1"),
        sa.Column("over", sa.Boolean(), nullable=False),
        sa.Column("last_arrival", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("topic"),
    )
    op.create_index(op.f("ix_imports_case_id"), "imports", ["case_id"])
    op.create_table(
        "import_files",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("path_key", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("machine_at", sa.Float(), nullable=False),
        sa.Column("evidence", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("busy_s", sa.Float(), nullable=False),
        sa.Column("retryable", sa.Boolean(), nullable=False),
        sa.Column("asker", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("import_id", "path_key"),
    )
    op.create_index("import_files_state", "import_files", ["import_id", "state", "id"])
    op.create_index(
        "import_files_machine",
        "import_files",
        ["machine"],
        unique=True,
        postgresql_where=sa.text("machine <> ''"),
    )
    op.create_index(
        "import_files_received", "import_files", ["sha256"], postgresql_where=sa.text("state = 'received'")
    )
    op.create_table(
        "import_counts",
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("pages", sa.BigInteger(), nullable=False),
        sa.Column("busy_s", sa.Float(), nullable=False),
        sa.Column("busy_s2", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("import_id", "state", "kind"),
    )
    for statement in (COUNT, ON_INSERT, ON_UPDATE):
        op.execute(statement)


def downgrade() -> None:
    for table in ("import_counts", "import_files", "imports"):
        op.drop_table(table)
    op.execute("DROP FUNCTION import_files_counted")
