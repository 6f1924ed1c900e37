"""Conversations are listed, named and deleted; questions may bring articles from outside."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_ASKED = """
FROM archived_machines AS m JOIN cases ON 'case:' || cases.id = m.topic
CROSS JOIN LATERAL (SELECT m.snapshot -> 'context' AS said) AS c
WHERE m.kind = 'query'
"""
FILL_CONVERSATIONS = f"""
INSERT INTO conversations (case_id, id, asker, started_at, last_at)
SELECT cases.id, coalesce(nullif(said ->> 'conversation', ''), m.id),
  (array_agg(said ->> 'asker' ORDER BY (said ->> 'asked_at')::float8))[1],
  min((said ->> 'asked_at')::float8), max((said ->> 'asked_at')::float8)
{_ASKED} GROUP BY 1, 2
"""
FILL_QUESTIONS = f"""
INSERT INTO questions
  (machine, case_id, conversation, asker, asked_at, question, answer, revision, updated_at)
SELECT m.id, cases.id, coalesce(nullif(said ->> 'conversation', ''), m.id), said ->> 'asker',
  (said ->> 'asked_at')::float8, said ->> 'question',
  coalesce((
    SELECT string_agg(claim ->> 'text', chr(10))
    FROM jsonb_array_elements(coalesce(said #> '{{answer,claims}}', '[]')) AS claim
    WHERE NOT EXISTS (
      SELECT 1 FROM jsonb_array_elements(claim -> 'citations') AS cited
      WHERE coalesce(said -> 'withheld', '[]') @> (cited -> 'evidence')
    )
  ), ''), m.revision, m.updated_at
{_ASKED}
"""


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _case() -> sa.Column[str]:
    return sa.Column("case_id", sa.Text(), sa.ForeignKey("cases.id", ondelete="CASCADE"), nullable=False)


def _node() -> sa.Column[int]:
    following = sa.text("nextval('node_id')")
    return sa.Column("id", sa.BigInteger(), primary_key=True, server_default=following)


def upgrade() -> None:
    op.create_table(
        "conversations",
        _case(),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("asker", sa.String(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        _moment("removed_at", nullable=True),
        sa.Column("removed_by", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("case_id", "id"),
    )
    op.create_index("conversations_latest", "conversations", ["case_id", "last_at"])
    op.create_table(
        "questions",
        sa.Column("machine", sa.String(), primary_key=True),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("conversation", sa.String(), nullable=False),
        sa.Column("asker", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False, server_default=""),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id", "conversation"], ["conversations.case_id", "conversations.id"], ondelete="CASCADE"
        ),
    )
    op.create_index("questions_conversation", "questions", ["case_id", "conversation", "asked_at"])
    op.create_table(
        "deleted_questions",
        sa.Column("machine", sa.String(), primary_key=True),
        _case(),
        _moment("at"),
    )
    op.create_index("ix_deleted_questions_case_id", "deleted_questions", ["case_id"])
    op.create_table(
        "articles",
        _node(),
        _case(),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
    )
    op.create_index("ix_articles_case_id", "articles", ["case_id"])
    op.create_index("ix_articles_query", "articles", ["query"])
    op.create_table(
        "article_chunks",
        _node(),
        sa.Column(
            "article_id", sa.BigInteger(), sa.ForeignKey("articles.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
    )
    op.create_index("ix_article_chunks_article_id", "article_chunks", ["article_id"])
    op.execute(FILL_CONVERSATIONS)
    op.execute(FILL_QUESTIONS)


def downgrade() -> None:
    for table in ("article_chunks", "articles", "deleted_questions", "questions", "conversations"):
        op.drop_table(table)
