"""Columns that several tables have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Sequence, Text, func
from sqlmodel import Field, SQLModel

NODE_ID = Sequence("node_id", metadata=SQLModel.metadata)


def node_id() -> Any:
    """A primary key that names a node of the graph, whatever its kind."""
    return Field(
        default=None,
        sa_column=Column(BigInteger, NODE_ID, primary_key=True, server_default=NODE_ID.next_value()),
    )


def reference(target: str, *, primary_key: bool = False, index: bool = False, kind: Any = Text) -> Any:
    """A row of another table, with which this one goes."""
    return Field(
        sa_column=Column(
            kind, ForeignKey(target, ondelete="CASCADE"), primary_key=primary_key, index=index, nullable=False
        )
    )


def created() -> Any:
    """When the row was made, by the clock of the database."""
    return Field(
        default=None, sa_column=Column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    )
