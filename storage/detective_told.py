"""What evidence says that one entity does to another, as Detective mode reads it.

What hidden evidence says, and what is said of rejected entities, is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from storage import hidden

TOLD = text(
    f"""
    SELECT r.id, r.subject, r.object, r.chunk_id, r.start, r."end", r.predicate, r.source
    FROM relations r JOIN entities s ON s.id = r.subject JOIN entities o ON o.id = r.object
    WHERE r.case_id = :case AND s.status <> 'rejected' AND o.status <> 'rejected'
      AND r.chunk_id NOT IN {hidden.CHUNKS}
    ORDER BY r.id
    """
)
TOLD_AT = text(
    """
    SELECT r.id, r.case_id, c.evidence_id, r.chunk_id, r.start, r."end", r.subject, s.name, r.predicate,
           r.object, o.name, r.source
    FROM relations r JOIN chunks c ON c.id = r.chunk_id
    JOIN evidence e ON e.id = c.evidence_id AND e.hidden_at IS NULL
    JOIN entities s ON s.id = r.subject AND s.status <> 'rejected'
    JOIN entities o ON o.id = r.object AND o.status <> 'rejected'
    WHERE r.id = ANY(:relations) ORDER BY r.id
    """
)


@dataclass(frozen=True)
class Told:
    """Characters `start`..`end` of a chunk's evidence say that the subject does something to the object.

    `source` is `rule`, or the name of the model that read it.
    """

    id: int
    subject: int
    object: int
    chunk: int
    start: int
    end: int
    predicate: str
    source: str


@dataclass(frozen=True)
class ToldAt:
    """The same with its case, its evidence and the names of both."""

    id: int
    case: str
    evidence: int
    chunk: int
    start: int
    end: int
    subject: int
    subject_name: str
    predicate: str
    object: int
    object_name: str
    source: str
