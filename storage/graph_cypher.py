"""The Cypher behind `GraphNeo4j`: the edges of a case; every list of ids arrives as one value."""

from __future__ import annotations

from storage.neighbourhood import Query

COMMONNESS = """
MATCH (e:Entity) WHERE e.id IN $entities AND e.case = $case
CALL (e) { MATCH (e)<-[:MENTION]-(c:Chunk) WHERE NOT c.hidden RETURN count(c) AS chunks }
WITH e, chunks WHERE chunks > 0
RETURN e.id, chunks
"""

MENTIONS = """
MATCH (e:Entity) WHERE e.id IN $entities AND e.case = $case AND e.status <> 'rejected'
CALL (e) {
    MATCH (e)<-[m:MENTION]-(c:Chunk) WHERE NOT c.hidden
    RETURN c.id AS chunk, m.count AS times ORDER BY times DESC, chunk LIMIT $limit
}
RETURN chunk, e.id AS entity, times ORDER BY chunk, entity
"""

MENTIONED = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[:MENTION]->(e:Entity) WHERE e.status <> 'rejected'
RETURN c.id AS chunk, e.id AS entity ORDER BY chunk, entity
"""

BESIDE = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[:NEXT]-(n:Chunk)
RETURN DISTINCT n.id AS chunk ORDER BY chunk
"""

ALIKE = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[s:SIMILAR]-(:Chunk)
WITH DISTINCT s, startNode(s) AS a, endNode(s) AS b
WHERE NOT a.hidden AND NOT b.hidden
RETURN a.id AS source, b.id AS target, s.cosine AS cosine ORDER BY cosine DESC, source, target
"""

JOINED = """
MATCH (c:Chunk) WHERE c.id IN $chunks AND c.case = $case
MATCH (c)-[m:MENTION]->(e:Entity) WHERE e.id IN $entities
RETURN c.id AS chunk, e.id AS entity, m.count AS times ORDER BY chunk, entity
"""

ALIKE_WITHIN = """
MATCH (a:Chunk) WHERE a.id IN $chunks AND a.case = $case
MATCH (a)-[s:SIMILAR]->(b:Chunk) WHERE b.id IN $chunks
RETURN a.id AS source, b.id AS target, s.cosine AS cosine ORDER BY source, target
"""

CASE_MENTIONS = """
MATCH (e:Entity {case: $case}) WHERE e.status <> 'rejected'
MATCH (e)<-[m:MENTION]-(c:Chunk) WHERE NOT c.hidden
RETURN c.id AS chunk, e.id AS entity, m.count AS times ORDER BY chunk, entity
"""

CASE_ALIKE = """
MATCH (a:Chunk {case: $case}) WHERE NOT a.hidden
MATCH (a)-[s:SIMILAR]->(b:Chunk) WHERE NOT b.hidden
RETURN a.id AS source, b.id AS target, s.cosine AS cosine ORDER BY source, target
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
}
"""What is asked of Neo4j; the nodes themselves are PostgreSQL's."""
