"""Machines can be searched, and the journal of one be read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FILL = """
UPDATE archived_machines AS a SET
  states = ARRAY(SELECT jsonb_array_elements_text(snapshot -> 'configuration')),
  title = coalesce(
    nullif(snapshot #>> '{context,filename}', ''), nullif(snapshot #>> '{context,question}', ''),
    nullif(snapshot #>> '{context,title}', ''), ''
  ),
  spawned_by = coalesce(
    (SELECT convert_from(j.content, 'UTF8')::jsonb #>> '{data,actor}' FROM journal j
     WHERE j.what = 'transition' AND j.topic = a.topic AND split_part(j.event_key, ':', 1) = a.id
     ORDER BY j.seq LIMIT 1), ''
  ),
  busy_since = (
    SELECT min((w.value ->> 'since')::float)
    FROM jsonb_each(coalesce(snapshot #> '{context,work}', '{}')) AS w
    WHERE w.value ->> 'status' IN ('queued', 'running', 'waiting') AND snapshot -> 'configuration' ? w.key
  )
"""
"""For machines that were archived before; those of later ones are filled by `storage.archive`."""


def upgrade() -> None:
    op.add_column(
        "archived_machines",
        sa.Column("states", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}"),
    )
    op.add_column("archived_machines", sa.Column("title", sa.Text(), nullable=False, server_default=""))
    op.add_column("archived_machines", sa.Column("spawned_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("archived_machines", sa.Column("busy_since", sa.Float(), nullable=True))
    op.create_index(
        "journal_machine",
        "journal",
        ["topic", sa.text("split_part(event_key, ':', 1)"), "seq"],
        postgresql_where=sa.text("what = 'transition'"),
    )
    op.execute(FILL)
    op.create_index("archived_kind", "archived_machines", ["kind", "updated_at"])
    op.create_index(
        "archived_busy",
        "archived_machines",
        ["busy_since"],
        postgresql_where=sa.text("busy_since IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("archived_busy", table_name="archived_machines")
    op.drop_index("archived_kind", table_name="archived_machines")
    op.drop_index("journal_machine", table_name="journal")
    for name in ("busy_since", "spawned_by", "title", "states"):
        op.drop_column("archived_machines", name)
