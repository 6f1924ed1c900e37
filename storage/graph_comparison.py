"""Compares the graph in Neo4j with the tables, node by node with the edges that leave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.follow import Comparison
from storage.neo4j_place import Neo4jPlace

AT_ONCE = 1000
COMPARE_S = 120
_EXAMPLES = 10
_LAST = 2**63 - 1

_SQL: Mapping[str, TextClause] = {
    "Evidence": text(
        "SELECT id, case_id, title, hidden_at IS NOT NULL FROM evidence "
        "WHERE id > :after ORDER BY id LIMIT :limit"
    ),
    "Poi": text("SELECT id, case_id, name, aliases FROM pois WHERE id > :after ORDER BY id LIMIT :limit"),
    "Entity": text(
        "SELECT id, case_id, kind, name, status, CASE WHEN poi_id IS NULL THEN '{}' ELSE ARRAY[poi_id] END, "
        "ARRAY(SELECT other FROM same_as WHERE entity = entities.id AND other IS NOT NULL "
        "AND verdict = 'same' ORDER BY other) FROM entities WHERE id > :after ORDER BY id LIMIT :limit"
    ),
    "Chunk": text(
        """
        SELECT c.id, c.case_id, c.evidence_id, c.ordinal, v.hidden_at IS NOT NULL, ARRAY[c.evidence_id],
               ARRAY(SELECT n.id FROM chunks n
                     WHERE n.evidence_id = c.evidence_id AND n.ordinal = c.ordinal + 1),
               ARRAY(SELECT concat(m.entity_id, ' ', count(*)) FROM mentions m
                     WHERE m.chunk_id = c.id GROUP BY m.entity_id ORDER BY m.entity_id),
               ARRAY(SELECT s.target FROM similarities s WHERE s.source = c.id ORDER BY s.target),
               ARRAY(SELECT s.weight FROM similarities s WHERE s.source = c.id ORDER BY s.target),
               ARRAY(SELECT concat_ws(' ', r.subject, r.object, count(*), r.predicate) COLLATE "C" AS told
                     FROM relations r WHERE r.chunk_id = c.id
                     GROUP BY r.subject, r.object, r.predicate ORDER BY told)
        FROM chunks c JOIN evidence v ON v.id = c.evidence_id
        WHERE c.id > :after ORDER BY c.id LIMIT :limit
        """
    ),
}

_CYPHER: Mapping[str, str] = {
    "Evidence": "RETURN n.id, n.case, n.title, n.hidden",
    "Poi": "RETURN n.id, n.case, n.name, n.aliases",
    "Entity": """
        RETURN n.id, n.case, n.kind, n.name, n.status, COLLECT { MATCH (n)-[:IS]->(p) RETURN p.id },
            COLLECT { MATCH (n)-[:SAME_AS]->(o) RETURN o.id ORDER BY o.id }
    """,
    "Chunk": """
        RETURN n.id, n.case, n.evidence, n.ordinal, n.hidden,
            COLLECT { MATCH (n)-[:PART]->(v) RETURN v.id },
            COLLECT { MATCH (n)-[:NEXT]->(c) RETURN c.id },
            COLLECT { MATCH (n)-[r:MENTION]->(e) RETURN e.id + ' ' + r.count ORDER BY e.id },
            COLLECT { MATCH (n)-[r:SIMILAR]->(c) RETURN c.id ORDER BY c.id },
            COLLECT { MATCH (n)-[r:SIMILAR]->(c) RETURN r.cosine ORDER BY c.id },
            COLLECT {
                MATCH (s)-[r:RELATION {chunk: n.id}]->(o)
                WITH s.id + ' ' + o.id + ' ' + r.count + ' ' + r.predicate AS told RETURN told ORDER BY told
            }
    """,
}


async def compare(place: Neo4jPlace, database: AsyncEngine) -> Comparison:
    """See `Follower.compare`."""
    compared = missing = spare = different = 0
    told: list[str] = []
    for label, query in _SQL.items():
        after = 0
        while after < _LAST:
            async with database.connect() as connection:
                found = (await connection.execute(query, {"after": after, "limit": AT_ONCE})).all()
            until = found[-1][0] if len(found) == AT_ONCE else _LAST
            here = _by_id([list(row) for row in found])
            cypher = f"MATCH (n:{label}) WHERE n.id > $after AND n.id <= $until {_CYPHER[label]}"
            there = _by_id(await place.read(cypher, {"after": after, "until": until}, within_s=COMPARE_S))
            compared += len(here.keys() | there.keys())
            missing += len(here.keys() - there.keys())
            spare += len(there.keys() - here.keys())
            unlike = [node for node in here.keys() & there.keys() if here[node] != there[node]]
            different += len(unlike)
            kind = label.lower()
            told += [f"{kind} {node} is missing" for node in sorted(here.keys() - there.keys())]
            told += [f"{kind} {node} is no {kind} any more" for node in sorted(there.keys() - here.keys())]
            told += [f"{kind} {node} is not the same" for node in sorted(unlike)]
            del told[_EXAMPLES:]
            after = until
    return Comparison(compared, missing, spare, different, tuple(told))


def _by_id(rows: list[list[Any]]) -> dict[int, list[Any]]:
    return {row[0]: row[1:] for row in rows}
