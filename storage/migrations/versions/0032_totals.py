"""What a question needs of a case is counted as the case changes, not as it is asked.

Triggers note, once a statement, by how much totals change; a trigger that waits for the commit adds that
up. So a row of totals is locked for the length of a commit alone, whoever writes: rows of one case in
the order of their entities behind the row of the case, and nothing else is waited for meanwhile. Which
chunks mention an entity is counted right because writers of mentions take turns (`storage/locks.py`).
A case that is being erased is left alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

NOTE = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO total_changes (xact, case_id, {columns})
  SELECT pg_current_xact_id()::text::bigint, found.case_id, {columns} FROM ({select}) AS found
  WHERE EXISTS (SELECT FROM cases WHERE cases.id = found.case_id);
  IF FOUND THEN
    INSERT INTO open_totals VALUES (pg_current_xact_id()::text::bigint) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$
"""

ADD_UP = """
CREATE FUNCTION add_up_totals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT case_id, sum(chunks) FILTER (WHERE entity_id = 0) AS chunks, sum(indexed) AS indexed,
           sum(words) AS words, bool_or(named) AS named, bool_or(entity_id > 0) AS mentions
    FROM total_changes WHERE xact = NEW.xact AND EXISTS (SELECT FROM cases WHERE cases.id = case_id)
    GROUP BY case_id ORDER BY case_id
  LOOP
    INSERT INTO case_totals AS kept (case_id, chunks, indexed, words, names, mentions)
    VALUES (one.case_id, coalesce(one.chunks, 0), one.indexed, one.words,
            CASE WHEN one.named THEN nextval('total_version') ELSE 0 END,
            CASE WHEN one.mentions THEN nextval('total_version') ELSE 0 END)
    ON CONFLICT (case_id) DO UPDATE SET
      chunks = kept.chunks + EXCLUDED.chunks, indexed = kept.indexed + EXCLUDED.indexed,
      words = kept.words + EXCLUDED.words,
      names = CASE WHEN EXCLUDED.names > 0 THEN EXCLUDED.names ELSE kept.names END,
      mentions = CASE WHEN EXCLUDED.mentions > 0 THEN EXCLUDED.mentions ELSE kept.mentions END;
    IF one.mentions THEN
      INSERT INTO entity_counts AS kept (case_id, entity_id, chunks)
      SELECT case_id, entity_id, sum(chunks) FROM total_changes
      WHERE xact = NEW.xact AND case_id = one.case_id AND entity_id > 0
      GROUP BY case_id, entity_id HAVING NOT bool_or(gone) ORDER BY entity_id
      ON CONFLICT (case_id, entity_id) DO UPDATE SET chunks = kept.chunks + EXCLUDED.chunks;
      DELETE FROM entity_counts AS kept USING total_changes AS change
      WHERE change.xact = NEW.xact AND change.case_id = one.case_id AND change.entity_id > 0
        AND kept.case_id = one.case_id AND kept.entity_id = change.entity_id
        AND (change.gone OR kept.chunks = 0);
    END IF;
  END LOOP;
  DELETE FROM total_changes WHERE xact = NEW.xact;
  DELETE FROM open_totals WHERE xact = NEW.xact;
  RETURN NULL;
END $$
"""

RECOUNT = """
CREATE FUNCTION recount_totals() RETURNS void LANGUAGE sql AS $$
  DELETE FROM entity_counts;
  DELETE FROM case_totals;
  INSERT INTO case_totals (case_id, chunks, indexed, words, names, mentions)
  SELECT cases.id, coalesce(own.chunks, 0), coalesce(sized.indexed, 0), coalesce(sized.words, 0),
         nextval('total_version'), nextval('total_version')
  FROM cases
  LEFT JOIN (SELECT case_id, count(*) AS chunks FROM chunks GROUP BY case_id) AS own ON own.case_id = id
  LEFT JOIN (SELECT case_id, count(*) AS indexed, sum(words) AS words FROM chunk_lengths GROUP BY case_id)
    AS sized ON sized.case_id = id;
  INSERT INTO entity_counts (case_id, entity_id, chunks)
  SELECT entities.case_id, entities.id, counted.chunks FROM entities JOIN (
    SELECT entity_id, count(*) AS chunks FROM (SELECT DISTINCT entity_id, chunk_id FROM mentions) AS each
    GROUP BY entity_id
  ) AS counted ON counted.entity_id = entities.id;
$$
"""
"""For rows that came while triggers were off, as they are when this is first applied."""

CHUNKS = "SELECT case_id, {sign}count(*) AS chunks FROM {rows} GROUP BY case_id"
LENGTHS = "SELECT case_id, {sign}count(*) AS indexed, {sign}sum(words) AS words FROM {rows} GROUP BY case_id"
LENGTHS_CHANGED = """
  SELECT case_id, sum(sign) AS indexed, sum(sign * words) AS words FROM (
    SELECT case_id, words, 1 AS sign FROM came UNION ALL SELECT case_id, words, -1 FROM gone
  ) AS each GROUP BY case_id
"""
MENTIONS = """
  SELECT entities.case_id, counted.entity_id, sum(counted.change) AS chunks FROM (
    SELECT touched.entity_id, (now.times > 0)::int - (now.times - touched.change > 0)::int AS change
    FROM (SELECT chunk_id, entity_id, sum(sign) AS change FROM ({rows}) AS each GROUP BY 1, 2) AS touched
    CROSS JOIN LATERAL (
      SELECT count(*) AS times FROM mentions
      WHERE mentions.entity_id = touched.entity_id AND mentions.chunk_id = touched.chunk_id
    ) AS now
  ) AS counted JOIN entities ON entities.id = counted.entity_id
  GROUP BY 1, 2 HAVING sum(counted.change) <> 0
"""
CAME = "SELECT chunk_id, entity_id, 1 AS sign FROM came"
GONE = "SELECT chunk_id, entity_id, -1 AS sign FROM gone"
NAMED = "SELECT DISTINCT case_id, true AS named FROM {rows}"
NAMED_CHANGED = """
  SELECT DISTINCT case_id, true AS named FROM (
    SELECT case_id, {columns} FROM came EXCEPT SELECT case_id, {columns} FROM gone
    UNION ALL
    (SELECT case_id, {columns} FROM gone EXCEPT SELECT case_id, {columns} FROM came)
  ) AS each
"""
ENTITY_GONE = "SELECT case_id, id AS entity_id, true AS named, true AS gone FROM gone"

# Table, event, what is noted, how.
STATEMENTS = [
    ("chunks", "INSERT", "chunks", CHUNKS.format(sign="", rows="came")),
    ("chunks", "DELETE", "chunks", CHUNKS.format(sign="-", rows="gone")),
    ("chunk_lengths", "INSERT", "indexed, words", LENGTHS.format(sign="", rows="came")),
    ("chunk_lengths", "DELETE", "indexed, words", LENGTHS.format(sign="-", rows="gone")),
    ("chunk_lengths", "UPDATE", "indexed, words", LENGTHS_CHANGED),
    ("mentions", "INSERT", "entity_id, chunks", MENTIONS.format(rows=CAME)),
    ("mentions", "DELETE", "entity_id, chunks", MENTIONS.format(rows=GONE)),
    ("mentions", "UPDATE", "entity_id, chunks", MENTIONS.format(rows=f"{CAME} UNION ALL {GONE}")),
    ("entities", "INSERT", "named", NAMED.format(rows="came")),
    ("entities", "DELETE", "entity_id, named, gone", ENTITY_GONE),
    ("entities", "UPDATE", "named", NAMED_CHANGED.format(columns="id, kind, name, status, poi_id")),
    ("pois", "INSERT", "named", NAMED.format(rows="came")),
    ("pois", "DELETE", "named", NAMED.format(rows="gone")),
    ("pois", "UPDATE", "named", NAMED_CHANGED.format(columns="id, name, aliases")),
    ("same_as", "INSERT", "named", NAMED.format(rows="came")),
    ("same_as", "DELETE", "named", NAMED.format(rows="gone")),
    ("same_as", "UPDATE", "named", NAMED_CHANGED.format(columns="id, entity, other, poi, verdict")),
]
ROWS = {"INSERT": "NEW TABLE AS came", "DELETE": "OLD TABLE AS gone"}
ROWS["UPDATE"] = f"{ROWS['DELETE']} {ROWS['INSERT']}"

# Rows of chunks and evidence are wide and often written: only these columns are looked at.
HIDDEN = "SELECT NEW.case_id, true AS named"
MOVED = """
  SELECT case_id, sum(sign) AS chunks, true AS named
  FROM (VALUES (NEW.case_id, 1), (OLD.case_id, -1)) AS each (case_id, sign) GROUP BY case_id
"""
COLUMNS = [
    ("evidence", "hidden_at", "named", HIDDEN),
    ("chunks", "case_id, evidence_id", "chunks, named", MOVED),
]


def upgrade() -> None:
    numbers = {name: _number(name) for name in ("chunks", "indexed", "words", "names", "mentions")}
    op.execute("CREATE SEQUENCE total_version")
    op.create_table(
        "case_totals",
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
        *numbers.values(),
    )
    op.create_table(
        "entity_counts",
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("entity_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "total_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("xact", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        *(_number(name) for name in ("entity_id", "chunks", "indexed", "words")),
        sa.Column("named", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("gone", sa.Boolean(), nullable=False, server_default="false"),
        prefixes=["UNLOGGED"],
    )
    op.create_index("total_changes_xact", "total_changes", ["xact"])
    op.create_table(
        "open_totals",
        sa.Column("xact", sa.BigInteger(), primary_key=True, autoincrement=False),
        prefixes=["UNLOGGED"],
    )
    op.execute(ADD_UP)
    op.execute(
        "CREATE CONSTRAINT TRIGGER add_up_totals AFTER INSERT ON open_totals DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION add_up_totals()"
    )
    # Triggers first: making one waits for whoever writes the table, and keeps others from it till the end.
    for table, event, columns, select in STATEMENTS:
        name = f"total_{table}_{event.lower()}"
        op.execute(NOTE.format(name=name, columns=columns, select=select))
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {ROWS[event]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
    for table, changed, columns, select in COLUMNS:
        name = f"total_{table}_changed"
        op.execute(NOTE.format(name=name, columns=columns, select=select))
        differs = " OR ".join(f"OLD.{one} IS DISTINCT FROM NEW.{one}" for one in changed.split(", "))
        op.execute(
            f"CREATE TRIGGER {name} AFTER UPDATE OF {changed} ON {table} "
            f"FOR EACH ROW WHEN ({differs}) EXECUTE FUNCTION {name}()"
        )
    op.drop_index("chunks_case", table_name="chunks")
    op.create_index("chunks_case", "chunks", ["case_id", "id"], postgresql_include=["evidence_id", "ordinal"])
    op.execute(RECOUNT)
    op.execute("SELECT recount_totals()")
    op.execute("ANALYZE case_totals")
    op.execute("ANALYZE entity_counts")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def downgrade() -> None:
    op.drop_index("chunks_case", table_name="chunks")
    op.create_index("chunks_case", "chunks", ["case_id", "id"], postgresql_include=["evidence_id"])
    for table, event, _, _ in STATEMENTS:
        op.execute(f"DROP FUNCTION total_{table}_{event.lower()}() CASCADE")
    for table, _, _, _ in COLUMNS:
        op.execute(f"DROP FUNCTION total_{table}_changed() CASCADE")
    op.execute("DROP FUNCTION add_up_totals() CASCADE")
    op.execute("DROP FUNCTION recount_totals()")
    for table in ("open_totals", "total_changes", "entity_counts", "case_totals"):
        op.drop_table(table)
    op.execute("DROP SEQUENCE total_version")
