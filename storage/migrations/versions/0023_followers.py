"""Stores beside PostgreSQL are told, in the transaction that changes something, what to look at again.

Triggers run once a statement and leave nothing where no store follows. One transaction marks a thing
once, however many statements touch it. Of a case that is being erased the case alone is marked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM followers WHERE '{kind}' = ANY(kinds)) THEN
    RETURN NULL;
  END IF;
  INSERT INTO store_marks (follower, case_id, kind, node)
  SELECT followers.name, found.case_id, '{kind}', found.node
  FROM followers, ({select}) AS found
  WHERE '{kind}' = ANY(followers.kinds){alive} AND NOT EXISTS (
    SELECT FROM store_marks AS mark
    WHERE mark.case_id = found.case_id AND mark.kind = '{kind}' AND mark.node = found.node
      AND mark.follower = followers.name AND mark.xmin = pg_current_xact_id()::xid
  );
  RETURN NULL;
END $$
"""
"""A mark that is not committed yet is read together with all that its transaction does."""

ALIVE = " AND EXISTS (SELECT FROM cases WHERE cases.id = found.case_id)"

ROW = "SELECT DISTINCT case_id, id AS node FROM changed"
CHUNKS = "SELECT DISTINCT case_id, evidence_id AS node FROM changed"
MENTIONS = (
    "SELECT DISTINCT chunks.case_id, chunks.evidence_id AS node "
    "FROM changed JOIN chunks ON chunks.id = changed.chunk_id"
)
SIMILAR = "SELECT DISTINCT case_id, source AS node FROM changed"
CASE = "SELECT DISTINCT id AS case_id, 0 AS node FROM changed"


def differing(columns: list[str], node: str = "changed.id", case: str = "changed.case_id") -> str:
    """Rows of an update in which one of the columns has another value now."""
    now, then = (", ".join(f"{rows}.{column}" for column in columns) for rows in ("changed", "before"))
    return (
        f"SELECT DISTINCT {case} AS case_id, {node} AS node FROM changed JOIN before USING (id) "
        f"WHERE ({now}) IS DISTINCT FROM ({then})"
    )


EVIDENCE_COLUMNS = ["title", "filename", "media_type", "parent_id", "hidden_at", "tags"]
CHUNK_COLUMNS = ["ordinal", "page", "start", '"end"', "text"]

# Table, kind of the marks, whether the case must still be there, what came or went, what changed.
TRIGGERS: list[tuple[str, str, bool, str | None, str | None]] = [
    (
        "cases",
        "case",
        False,
        CASE,
        differing(["title", "hidden_at"], node="0", case="changed.id"),
    ),
    ("evidence", "evidence", True, ROW, differing(EVIDENCE_COLUMNS)),
    ("chunks", "chunks", True, CHUNKS, differing(CHUNK_COLUMNS, node="changed.evidence_id")),
    ("chunks", "vector", True, None, differing(["vector"])),
    ("mentions", "mention", True, MENTIONS, MENTIONS),
    ("similarities", "similar", True, SIMILAR, SIMILAR),
    ("entities", "entity", True, ROW, differing(["kind", "name", "status", "poi_id"])),
    ("pois", "poi", True, ROW, differing(["name", "aliases"])),
]


def upgrade() -> None:
    op.create_table(
        "followers",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("kinds", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("barrier", sa.BigInteger(), nullable=True),
        sa.Column("cursor_kind", sa.String(), nullable=False),
        sa.Column("cursor_node", sa.BigInteger(), nullable=False),
        sa.Column("fill_until", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("marked", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "store_marks",
        sa.Column("follower", sa.String(), primary_key=True),
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("store_marks_node", "store_marks", ["case_id", "kind", "node"])
    for table, kind, in_case, came_or_went, changed in TRIGGERS:
        alive = ALIVE if in_case else ""
        if came_or_went is not None:
            name = f"mark_{table}_{kind}"
            op.execute(FUNCTION.format(name=name, kind=kind, select=came_or_went, alive=alive))
            for event, rows in (("INSERT", "NEW"), ("DELETE", "OLD")):
                op.execute(
                    f"CREATE TRIGGER {name}_{event.lower()} AFTER {event} ON {table} "
                    f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
                )
        if changed is not None:
            name = f"mark_{table}_{kind}_changed"
            op.execute(FUNCTION.format(name=name, kind=kind, select=changed, alive=alive))
            op.execute(
                f"CREATE TRIGGER {name} AFTER UPDATE ON {table} REFERENCING OLD TABLE AS before "
                f"NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


def downgrade() -> None:
    for table, kind, _, came_or_went, changed in TRIGGERS:
        if came_or_went is not None:
            op.execute(f"DROP FUNCTION mark_{table}_{kind}() CASCADE")
        if changed is not None:
            op.execute(f"DROP FUNCTION mark_{table}_{kind}_changed() CASCADE")
    op.drop_table("store_marks")
    op.drop_table("followers")
