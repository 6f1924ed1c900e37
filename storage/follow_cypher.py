"""The Cypher behind `Neo4jFollower`: rows of one kind arrive as one value, `rows`.

What a statement joins must be there: a row whose ends are not is passed over.
"""

from __future__ import annotations

PUT_EVIDENCE = """
UNWIND $rows AS row
MERGE (v:Evidence {id: row.id})
SET v.case = row.case, v.title = row.title, v.hidden = row.hidden
"""

HIDE_CHUNKS = """
UNWIND $rows AS row
MATCH (c:Chunk {evidence: row.id}) WHERE c.hidden <> row.hidden
SET c.hidden = row.hidden
"""

PUT_CHUNKS = """
UNWIND $rows AS row
MATCH (v:Evidence {id: row.evidence})
MERGE (c:Chunk {id: row.id})
SET c.case = row.case, c.evidence = row.evidence, c.ordinal = row.ordinal, c.hidden = row.hidden
MERGE (c)-[:PART]->(v)
"""

PUT_ENTITIES = """
UNWIND $rows AS row
MERGE (e:Entity {id: row.id})
SET e.case = row.case, e.kind = row.kind, e.name = row.name, e.status = row.status
"""

PUT_POIS = """
UNWIND $rows AS row
MERGE (p:Poi {id: row.id})
SET p.case = row.case, p.name = row.name, p.aliases = row.aliases
"""

DROP_NEXT = """
UNWIND $rows AS row
MATCH (c:Chunk {id: row.id})-[r:NEXT]->(n:Chunk) WHERE row.next IS NULL OR n.id <> row.next
DELETE r
"""
PUT_NEXT = """
UNWIND $rows AS row
MATCH (c:Chunk {id: row.id}) MATCH (n:Chunk {id: row.next})
MERGE (c)-[:NEXT]->(n)
"""

DROP_IS = """
UNWIND $rows AS row
MATCH (e:Entity {id: row.id})-[r:IS]->(p:Poi) WHERE row.poi IS NULL OR p.id <> row.poi
DELETE r
"""
PUT_IS = """
UNWIND $rows AS row
MATCH (e:Entity {id: row.id}) MATCH (p:Poi {id: row.poi})
MERGE (e)-[:IS]->(p)
"""

DROP_MENTIONS = """
UNWIND $rows AS row
MATCH (c:Chunk {id: row.id})-[r:MENTION]->(e:Entity) WHERE NOT e.id IN row.to
DELETE r
"""
PUT_MENTIONS = """
UNWIND $edges AS edge
MATCH (c:Chunk {id: edge[0]}) MATCH (e:Entity {id: edge[1]})
MERGE (c)-[r:MENTION]->(e)
SET r.count = edge[2]
"""

DROP_SIMILAR = """
UNWIND $rows AS row
MATCH (a:Chunk {id: row.id})-[r:SIMILAR]->(b:Chunk) WHERE NOT b.id IN row.to
DELETE r
"""
PUT_SIMILAR = """
UNWIND $edges AS edge
MATCH (a:Chunk {id: edge[0]}) MATCH (b:Chunk {id: edge[1]})
MERGE (a)-[r:SIMILAR]->(b)
SET r.cosine = edge[2]
"""

# A relation's chunk is no end of it, so what a chunk tells is found by an index.
DROP_RELATIONS = """
UNWIND $chunks AS chunk
MATCH ()-[r:RELATION {chunk: chunk}]->()
DELETE r
"""
PUT_RELATIONS = """
UNWIND $told AS told
MATCH (s:Entity {id: told[1]}) MATCH (o:Entity {id: told[3]})
MERGE (s)-[r:RELATION {chunk: told[0], predicate: told[2]}]->(o)
SET r.count = told[4]
"""

DROP_SAME = """
UNWIND $rows AS row
MATCH (e:Entity {id: row.id})-[r:SAME_AS]->(o:Entity) WHERE NOT o.id IN row.to
DELETE r
"""
PUT_SAME = """
UNWIND $rows AS row
UNWIND row.to AS other
MATCH (e:Entity {id: row.id}) MATCH (o:Entity {id: other})
MERGE (e)-[:SAME_AS]->(o)
"""

PUT_CASES = "UNWIND $cases AS case MERGE (:Case {id: case})"
TOUCH = "UNWIND $cases AS case MATCH (k:Case {id: case}) SET k.version = $version"

THERE = {
    label: f"MATCH (n:{label}) WHERE n.id IN $ids RETURN n.id"
    for label in ("Chunk", "Entity", "Evidence", "Poi")
}
OF_EVIDENCE = "MATCH (c:Chunk) WHERE c.evidence IN $evidence RETURN c.id"
DELETE = {
    label: [f"MATCH (n:{label}) WHERE n.id IN $ids DETACH DELETE n"]
    for label in ("Chunk", "Entity", "Evidence", "Poi")
}
DELETE["Chunk"].append(DROP_RELATIONS.replace("$chunks", "$ids"))
ERASE = [
    f"MATCH (n:{label} {{case: $case}}) CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF 2000 ROWS"
    for label in ("Chunk", "Entity", "Poi", "Evidence")
]
FORGET_CASE = "MATCH (k:Case {id: $case}) DELETE k"
