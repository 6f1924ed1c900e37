"""Verdicts on names that may be the same; topics of a case, and documents that are alike.

A verdict marks its entity for the stores that follow (see 0023): an edge of the graph has come or gone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

MARK = """
CREATE FUNCTION mark_same_as() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO store_marks (follower, case_id, kind, node)
  SELECT DISTINCT followers.name, changed.case_id, 'entity', ends.node
  FROM followers, changed CROSS JOIN LATERAL (VALUES (changed.entity), (changed.other)) AS ends(node)
  WHERE 'entity' = ANY(followers.kinds) AND ends.node IS NOT NULL
    AND EXISTS (SELECT FROM cases WHERE cases.id = changed.case_id)
    AND NOT EXISTS (
      SELECT FROM store_marks AS mark
      WHERE mark.case_id = changed.case_id AND mark.kind = 'entity' AND mark.node = ends.node
        AND mark.follower = followers.name AND mark.xmin = pg_current_xact_id()::xid
    );
  RETURN NULL;
END $$
"""
UNNAME = """
CREATE FUNCTION unname_topics() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE topics SET terms = '{}' WHERE id IN (SELECT topic_id FROM changed) AND terms <> '{}';
  RETURN NULL;
END $$
"""


ENTITY, TOPIC = "entities.id", "topics.id"


def upgrade() -> None:
    op.create_table(
        "same_as",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), nullable=False),
        sa.Column("entity", sa.BigInteger(), sa.ForeignKey(ENTITY, ondelete="CASCADE"), nullable=False),
        sa.Column("other", sa.BigInteger(), sa.ForeignKey(ENTITY, ondelete="CASCADE")),
        sa.Column("poi", sa.BigInteger(), sa.ForeignKey("pois.id", ondelete="CASCADE")),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reasons", sa.ARRAY(sa.Float()), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("(other IS NULL) <> (poi IS NULL)", name="same_as_one_side"),
        sa.CheckConstraint("verdict IN ('same', 'unsure', 'different')", name="same_as_verdict"),
        sa.CheckConstraint("entity < other", name="same_as_once"),
        sa.UniqueConstraint("entity", "other"),
        sa.UniqueConstraint("entity", "poi"),
    )
    op.create_index("ix_same_as_case_id", "same_as", ["case_id"])
    op.create_index("same_as_other", "same_as", ["other"])
    op.create_index("same_as_poi", "same_as", ["poi"])
    op.execute(MARK)
    for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"CREATE TRIGGER mark_same_as_{event.lower()} AFTER {event} ON same_as "
            f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_same_as()"
        )
    op.create_table(
        "topics",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), nullable=False),
        sa.Column("terms", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
    )
    op.create_index("ix_topics_case_id", "topics", ["case_id"])
    op.create_table(
        "topic_members",
        sa.Column(
            "evidence_id", sa.BigInteger(), sa.ForeignKey("evidence.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("topic_id", sa.BigInteger(), sa.ForeignKey(TOPIC, ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_topic_members_topic_id", "topic_members", ["topic_id"])
    op.execute(UNNAME)
    op.execute(
        "CREATE TRIGGER unname_topics AFTER DELETE ON topic_members "
        "REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION unname_topics()"
    )
    op.create_table(
        "topic_runs",
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("evidence", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_table(
        "similar_documents",
        sa.Column(
            "source", sa.BigInteger(), sa.ForeignKey("evidence.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column(
            "target", sa.BigInteger(), sa.ForeignKey("evidence.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), nullable=False),
        sa.Column("cosine", sa.Float(), nullable=False),
    )
    op.create_index("ix_similar_documents_target", "similar_documents", ["target"])
    op.create_index("ix_similar_documents_case_id", "similar_documents", ["case_id"])


def downgrade() -> None:
    for table in ("similar_documents", "topic_runs", "topic_members", "topics", "same_as"):
        op.drop_table(table)
    op.execute("DROP FUNCTION unname_topics()")
    op.execute("DROP FUNCTION mark_same_as()")
