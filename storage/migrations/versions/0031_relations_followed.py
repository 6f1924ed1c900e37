"""Stores beside PostgreSQL are told of relations and of names that are the same, too."""

from alembic import op

revision = "0031"
down_revision = "0030"
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
  WHERE '{kind}' = ANY(followers.kinds) AND EXISTS (SELECT FROM cases WHERE cases.id = found.case_id)
    AND NOT EXISTS (
    SELECT FROM store_marks AS mark
    WHERE mark.case_id = found.case_id AND mark.kind = '{kind}' AND mark.node = found.node
      AND mark.follower = followers.name AND mark.xmin = pg_current_xact_id()::xid
  );
  RETURN NULL;
END $$
"""
"""As in 0023: a mark a thing and transaction, and none of a case that is being erased."""

# With chunks that are gone their relations are, which the mark of the chunks tells.
RELATIONS = (
    "SELECT DISTINCT chunks.case_id, chunks.evidence_id AS node "
    "FROM changed JOIN chunks ON chunks.id = changed.chunk_id"
)
SAME = "SELECT DISTINCT case_id, entity AS node FROM changed WHERE other IS NOT NULL"
TRIGGERS = (("relations", "relation", RELATIONS), ("same_as", "same", SAME))


def upgrade() -> None:
    for table, kind, select in TRIGGERS:
        name = f"mark_{table}_{kind}"
        op.execute(FUNCTION.format(name=name, kind=kind, select=select))
        for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            op.execute(
                f"CREATE TRIGGER {name}_{event.lower()} AFTER {event} ON {table} "
                f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


def downgrade() -> None:
    for table, kind, _ in TRIGGERS:
        op.execute(f"DROP FUNCTION mark_{table}_{kind}() CASCADE")
