"""What of a case is out of sight while it waits to be deleted, as parts of SQL with the value `:case`.

None depends on the row it is compared with, so that each is worked out once a query; where nothing
is hidden, which an index of hidden evidence alone tells, that costs nothing.
"""

from __future__ import annotations

EVIDENCE = "(SELECT hidden.id FROM evidence AS hidden WHERE hidden.case_id = :case AND hidden_at IS NOT NULL)"
"""Ids of hidden evidence."""

CHUNKS = f"(SELECT hiding.id FROM chunks AS hiding WHERE hiding.evidence_id IN {EVIDENCE})"
"""Ids of the chunks of hidden evidence."""

ENTITIES = f"""(
    SELECT named.entity_id FROM mentions AS named WHERE named.chunk_id IN {CHUNKS}
    EXCEPT
    SELECT named.entity_id FROM mentions AS named
    WHERE named.chunk_id NOT IN {CHUNKS}
      AND named.entity_id IN (SELECT also.entity_id FROM mentions AS also WHERE also.chunk_id IN {CHUNKS})
)"""
"""Ids of the entities that nothing but hidden evidence mentions."""
