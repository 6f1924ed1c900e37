"""Alembic's entry: the connection comes from `storage.migrate`, the target from `storage.schema`."""

from alembic import context
from sqlmodel import SQLModel

import storage.schema  # noqa: F401  (fills the metadata)

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
