"""The Cypher behind `GraphNeo4j`: the edges of a case; every list of ids arrives as one value.

Each record is a node with lists of what it is joined with, so that many edges take few records: the driver
spends about as long on a record as on a hundred numbers.
"""

from __future__ import annotations

from storage.neighbourhood import Query

COMMONNESS = """
MATCH (e:Entity) WHERE e.id IN $entities AND e.case = $case
CALL (e) { MATCH (e)<-[:MENTION]-(c:Chunk) WHERE NOT c.hidden RETURN count(c) AS chunks }
WITH e, chunks WHERE chunks > 0
RETURN e.id, [chunks]
"""

MENTIONS = """
MATCH (e:Entity) WHERE e.id IN $entities AND e.case = $case AND e.status <> 'rejected'
CALL (e) {
    MATCH (e)<-[m:MENTION]-(c:Chunk) WHERE NOT c.hidden
    RETURN c.id AS chunk, m.count AS times ORDER BY times DESC, chunk LIMIT $limit
}
RETURN e.id, collect(chunk), collect(times)
"""

MENTIONED = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[:MENTION]->(e:Entity) WHERE e.status <> 'rejected'
RETURN c.id, collect(e.id)
"""

BESIDE = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[:NEXT]-(n:Chunk)
RETURN DISTINCT n.id
"""

ALIKE = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[s:SIMILAR]-(:Chunk)
WITH DISTINCT s, startNode(s) AS a, endNode(s) AS b
WHERE NOT a.hidden AND NOT b.hidden
RETURN a.id, collect(b.id), collect(s.cosine)
"""

JOINED = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[m:MENTION]->(e:Entity) WHERE e.id IN $entities
RETURN c.id, collect(e.id), collect(m.count)
"""

ALIKE_WITHIN = """
MATCH (a:Chunk) WHERE a.id IN $chunks AND a.case = $case
MATCH (a)-[s:SIMILAR]->(b:Chunk) WHERE b.id IN $chunks
RETURN a.id, collect(b.id), collect(s.cosine)
"""

CASE_MENTIONS = """
MATCH (e:Entity {case: $case}) WHERE e.status <> 'rejected'
MATCH (e)<-[m:MENTION]-(c:Chunk) WHERE NOT c.hidden
RETURN e.id, collect(c.id), collect(m.count)
"""

CASE_ALIKE = """
MATCH (a:Chunk {case: $case}) WHERE NOT a.hidden
MATCH (a)-[s:SIMILAR]->(b:Chunk) WHERE NOT b.hidden
RETURN a.id, collect(b.id), collect(s.cosine)
"""

_LESSER_FIRST = """
WITH CASE WHEN s.id < o.id THEN s.id ELSE o.id END AS one,
     CASE WHEN s.id < o.id THEN o.id ELSE s.id END AS other, sum(r.count) AS times
RETURN one, collect(other), collect(times)
"""

RELATED = f"""
MATCH (s:Entity) WHERE s.id IN $entities AND s.case = $case
MATCH (s)-[r:RELATION]->(o:Entity) WHERE o.id IN $entities
MATCH (c:Chunk {{id: r.chunk}}) WHERE NOT c.hidden
{_LESSER_FIRST}
"""

CASE_RELATED = f"""
MATCH (s:Entity {{case: $case}})-[r:RELATION]->(o:Entity)
MATCH (c:Chunk {{id: r.chunk}}) WHERE NOT c.hidden
{_LESSER_FIRST}
"""

SAME = """
MATCH (e:Entity {case: $case})-[:SAME_AS]->(o:Entity)
WHERE e.status <> 'rejected' AND o.status <> 'rejected'
RETURN e.id, collect(o.id)
"""

VERSION = "MATCH (n:Case {id: $case}) RETURN n.version"

QUERIES = {
    Query.COMMONNESS: COMMONNESS,
    Query.MENTIONS: MENTIONS,
    Query.MENTIONED: MENTIONED,
    Query.BESIDE: BESIDE,
    Query.ALIKE: ALIKE,
    Query.JOINED: JOINED,
    Query.ALIKE_WITHIN: ALIKE_WITHIN,
    Query.CASE_MENTIONS: CASE_MENTIONS,
    Query.CASE_ALIKE: CASE_ALIKE,
    Query.RELATED: RELATED,
    Query.CASE_RELATED: CASE_RELATED,
    Query.SAME: SAME,
}
"""What is asked of Neo4j; the nodes themselves are PostgreSQL's."""

BY_ENTITY = frozenset({Query.MENTIONS, Query.CASE_MENTIONS})
"""Queries whose records are entities, while their rows begin with the chunk."""

OF_CASE = frozenset({Query.CASE_MENTIONS, Query.CASE_ALIKE, Query.CASE_RELATED})
"""Queries about all of a case, which may take long."""
