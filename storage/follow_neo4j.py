"""Keeps the graph in Neo4j equal to the tables in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from secrets import token_hex
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import follow_cypher as cypher
from storage.follow import Comparison, Kind, Mark
from storage.graph_comparison import compare
from storage.graph_neo4j import FOLLOWER
from storage.neo4j_place import FORM, Neo4jPlace, Statement

AT_ONCE = 500
"""Rows of one transaction."""

Row = dict[str, Any]

_CASES = text("SELECT id FROM cases WHERE id = ANY(:ids)")
_EVIDENCE = text(
    "SELECT id, case_id AS case, title, hidden_at IS NOT NULL AS hidden FROM evidence WHERE id = ANY(:ids)"
)
_CHUNK = """
    SELECT c.id, c.case_id AS case, c.evidence_id AS evidence, c.ordinal, v.hidden_at IS NOT NULL AS hidden,
           n.id AS next
    FROM chunks c JOIN evidence v ON v.id = c.evidence_id
    LEFT JOIN chunks n ON n.evidence_id = c.evidence_id AND n.ordinal = c.ordinal + 1
"""
_CHUNKS = text(f"{_CHUNK} WHERE c.id = ANY(:ids)")
_CHUNKS_OF = text(f"{_CHUNK} WHERE c.evidence_id = ANY(:ids) AND c.id > :after ORDER BY c.id LIMIT :limit")
_ENTITIES = text(
    "SELECT id, case_id AS case, kind, name, status, poi_id AS poi FROM entities WHERE id = ANY(:ids)"
)
_POIS = text("SELECT id, case_id AS case, name, aliases FROM pois WHERE id = ANY(:ids)")
_MENTIONS = text(
    """
    SELECT c.id, c.case_id AS case, coalesce(array_agg(m.entity_id) FILTER (WHERE m.times > 0), '{}') AS to,
           coalesce(array_agg(m.times) FILTER (WHERE m.times > 0), '{}') AS weights
    FROM (
        SELECT id, case_id FROM chunks
        WHERE evidence_id = ANY(:ids) AND id > :after ORDER BY id LIMIT :limit
    ) AS c
    LEFT JOIN LATERAL (
        SELECT entity_id, count(*)::int AS times FROM mentions WHERE chunk_id = c.id GROUP BY entity_id
    ) AS m ON true
    GROUP BY c.id, c.case_id ORDER BY c.id
    """
)
_SIMILAR = text(
    """
    SELECT source AS id, min(case_id) AS case, array_agg(target) AS to, array_agg(weight) AS weights
    FROM similarities WHERE source = ANY(:ids) GROUP BY source
    """
)
_RELATIONS = text(
    """
    SELECT c.id, c.case_id AS case, coalesce(
        jsonb_agg(jsonb_build_array(r.subject, r.predicate, r.object, r.times))
        FILTER (WHERE r.times > 0), '[]') AS told
    FROM (
        SELECT id, case_id FROM chunks
        WHERE evidence_id = ANY(:ids) AND id > :after ORDER BY id LIMIT :limit
    ) AS c
    LEFT JOIN LATERAL (
        SELECT subject, predicate, object, count(*)::int AS times
        FROM relations WHERE chunk_id = c.id GROUP BY subject, predicate, object
    ) AS r ON true
    GROUP BY c.id, c.case_id ORDER BY c.id
    """
)
_SAME = text(
    """
    SELECT entity AS id, min(case_id) AS case, array_agg(other) AS to
    FROM same_as WHERE entity = ANY(:ids) AND other IS NOT NULL AND verdict = 'same' GROUP BY entity
    """
)


class Neo4jFollower:
    """`storage.follow.Follower` for the graph.

    Every batch is one transaction, which also gives the cases it touches another version. What an edge
    joins is put there with it where its own mark has not come yet.
    """

    name = FOLLOWER
    kinds: frozenset[Kind] = frozenset(
        {"case", "evidence", "chunks", "mention", "similar", "entity", "poi", "relation", "same"}
    )

    def __init__(self, place: Neo4jPlace, database: AsyncEngine) -> None:
        self._place = place
        self._database = database
        self.target = f"{place.where} {place.instance}, form {FORM}"

    async def apply(self, marks: Sequence[Mark]) -> None:
        """See `Follower.apply`."""
        nodes: dict[Kind, set[int]] = {kind: set() for kind in self.kinds}
        case_of: dict[int, str] = {}
        for mark in marks:
            nodes[mark.kind].add(mark.node)
            case_of[mark.node] = mark.case
        await self._apply_cases({mark.case for mark in marks if mark.kind == "case"})
        await self._apply_pois(nodes["poi"], case_of)
        await self._apply_entities(nodes["entity"], case_of)
        await self._apply_evidence(nodes["evidence"] | nodes["chunks"], case_of)
        await self._apply_chunks(nodes["chunks"], case_of)
        await self._apply_mentions(nodes["mention"])
        await self._apply_similar(nodes["similar"], case_of)
        await self._apply_relations(nodes["relation"])
        await self._apply_same(nodes["same"], case_of)

    async def check(self) -> str:
        """See `Follower.check`."""
        return f"Neo4j {await self._place.version()}"

    async def wipe(self) -> None:
        """See `Follower.wipe`."""
        await self._place.make()

    async def compare(self) -> Comparison:
        """See `Follower.compare`."""
        return await compare(self._place, self._database)

    async def aclose(self) -> None:
        """See `Follower.aclose`."""
        await self._place.driver.close()

    async def _apply_cases(self, cases: set[str]) -> None:
        """A case that is there has the node of its version; of one that is gone no node stays."""
        if not cases:
            return
        there = {row["id"] for row in await self._rows(_CASES, ids=sorted(cases))}
        await self._write([(cypher.PUT_CASES, {"cases": sorted(there)})], there)
        for case in sorted(cases - there):
            for statement in cypher.ERASE:
                await self._place.run(statement, {"case": case})
            await self._place.write([(cypher.FORGET_CASE, {"case": case})])

    async def _apply_pois(self, pois: set[int], case_of: dict[int, str]) -> None:
        for ids in _batches(pois):
            rows = await self._rows(_POIS, ids=ids)
            await self._put([(cypher.PUT_POIS, {"rows": rows})], rows)
            await self._delete("Poi", set(ids) - _ids(rows), case_of)

    async def _apply_entities(self, entities: set[int], case_of: dict[int, str]) -> None:
        for ids in _batches(entities):
            rows = await self._rows(_ENTITIES, ids=ids)
            await self._put(await self._entities(rows), rows)
            await self._delete("Entity", set(ids) - _ids(rows), case_of)

    async def _apply_evidence(self, evidence: set[int], case_of: dict[int, str]) -> None:
        """Rows of evidence, and whether their chunks are in sight; with what is gone its chunks go."""
        for ids in _batches(evidence):
            rows = await self._rows(_EVIDENCE, ids=ids)
            statements = [(cypher.PUT_EVIDENCE, {"rows": rows}), (cypher.HIDE_CHUNKS, {"rows": rows})]
            await self._put(statements, rows)
            if gone := set(ids) - _ids(rows):
                chunks = await self._place.read(cypher.OF_EVIDENCE, {"evidence": sorted(gone)})
                cases = {case_of[one] for one in gone}
                await self._delete_of("Chunk", [row[0] for row in chunks], cases)
                await self._delete_of("Evidence", sorted(gone), cases)

    async def _apply_chunks(self, evidence: set[int], case_of: dict[int, str]) -> None:
        """The chunks of evidence; then the order in which they stand, since both ends must be there."""
        for ids in _batches(evidence):
            kept: set[int] = set()
            async for rows in self._pages(_CHUNKS_OF, ids):
                await self._put(await self._chunks(rows), rows)
                kept |= _ids(rows)
            there = await self._place.read(cypher.OF_EVIDENCE, {"evidence": ids})
            # What has come meanwhile is marked, and brought then.
            gone = [row[0] for row in there if row[0] not in kept]
            await self._delete_of("Chunk", gone, {case_of[one] for one in ids} if gone else set())
            async for rows in self._pages(_CHUNKS_OF, ids):
                await self._put(_ordered(rows), rows)

    async def _apply_mentions(self, evidence: set[int]) -> None:
        for ids in _batches(evidence):
            async for rows in self._pages(_MENTIONS, ids):
                statements = await self._missing_chunks(_ids(rows))
                statements += await self._missing_entities({to for row in rows for to in row["to"]})
                statements += _edges(rows, cypher.DROP_MENTIONS, cypher.PUT_MENTIONS)
                await self._put(statements, rows)

    async def _apply_similar(self, sources: set[int], case_of: dict[int, str]) -> None:
        for ids in _batches(sources):
            rows = await self._rows(_SIMILAR, ids=ids)
            rows += [
                {"id": one, "case": case_of[one], "to": [], "weights": []} for one in set(ids) - _ids(rows)
            ]
            joined = {to for row in rows for to in row["to"]} | {row["id"] for row in rows if row["to"]}
            statements = await self._missing_chunks(joined)
            await self._put([*statements, *_edges(rows, cypher.DROP_SIMILAR, cypher.PUT_SIMILAR)], rows)

    async def _apply_relations(self, evidence: set[int]) -> None:
        for ids in _batches(evidence):
            async for rows in self._pages(_RELATIONS, ids):
                told = [[row["id"], *one] for row in rows for one in row["told"]]
                statements = await self._missing_chunks(_ids(rows))
                statements += await self._missing_entities({one[place] for one in told for place in (1, 3)})
                statements += [
                    (cypher.DROP_RELATIONS, {"chunks": sorted(_ids(rows))}),
                    (cypher.PUT_RELATIONS, {"told": told}),
                ]
                await self._put(statements, rows)

    async def _apply_same(self, entities: set[int], case_of: dict[int, str]) -> None:
        for ids in _batches(entities):
            rows = await self._rows(_SAME, ids=ids)
            rows += [{"id": one, "case": case_of[one], "to": []} for one in set(ids) - _ids(rows)]
            joined = {to for row in rows for to in row["to"]} | {row["id"] for row in rows if row["to"]}
            statements = await self._missing_entities(joined)
            statements += [(cypher.DROP_SAME, {"rows": rows}), (cypher.PUT_SAME, {"rows": rows})]
            await self._put(statements, rows)

    async def _chunks(self, rows: list[Row]) -> list[Statement]:
        """What puts chunks there, with the evidence that they are part of."""
        missing = await self._missing("Evidence", {row["evidence"] for row in rows})
        evidence = await self._rows(_EVIDENCE, ids=missing) if missing else []
        return [(cypher.PUT_EVIDENCE, {"rows": evidence}), (cypher.PUT_CHUNKS, {"rows": rows})]

    async def _entities(self, rows: list[Row]) -> list[Statement]:
        """What puts entities there, with the persons that they are."""
        missing = await self._missing("Poi", {row["poi"] for row in rows if row["poi"] is not None})
        pois = await self._rows(_POIS, ids=missing) if missing else []
        return [
            (cypher.PUT_POIS, {"rows": pois}),
            (cypher.PUT_ENTITIES, {"rows": rows}),
            (cypher.DROP_IS, {"rows": rows}),
            (cypher.PUT_IS, {"rows": [row for row in rows if row["poi"] is not None]}),
        ]

    async def _missing_chunks(self, chunks: set[int]) -> list[Statement]:
        missing = await self._missing("Chunk", chunks)
        return await self._chunks(await self._rows(_CHUNKS, ids=missing)) if missing else []

    async def _missing_entities(self, entities: set[int]) -> list[Statement]:
        missing = await self._missing("Entity", entities)
        return await self._entities(await self._rows(_ENTITIES, ids=missing)) if missing else []

    async def _missing(self, label: str, ids: set[int]) -> list[int]:
        if not ids:
            return []
        there = {row[0] for row in await self._place.read(cypher.THERE[label], {"ids": sorted(ids)})}
        return sorted(ids - there)

    async def _put(self, statements: Sequence[Statement], rows: Iterable[Row]) -> None:
        await self._write(statements, {row["case"] for row in rows})

    async def _delete(self, label: str, ids: set[int], case_of: dict[int, str]) -> None:
        await self._delete_of(label, sorted(ids), {case_of[one] for one in ids})

    async def _delete_of(self, label: str, ids: Sequence[int], cases: set[str]) -> None:
        for some in _batches(ids):
            await self._write([(statement, {"ids": some}) for statement in cypher.DELETE[label]], cases)

    async def _write(self, statements: Sequence[Statement], cases: Collection[str]) -> None:
        """In one transaction, in which the cases get another version, too."""
        if cases:
            touch = (cypher.TOUCH, {"cases": sorted(cases), "version": token_hex(8)})
            await self._place.write([*statements, touch])

    async def _rows(self, query: TextClause, **values: Any) -> list[Row]:
        async with self._database.connect() as connection:
            return [dict(row) for row in (await connection.execute(query, values)).mappings()]

    async def _pages(self, query: TextClause, ids: list[int]) -> AsyncIterator[list[Row]]:
        """Chunks as they are now, by id, so many at a time."""
        after = 0
        while True:
            rows = await self._rows(query, ids=ids, after=after, limit=AT_ONCE)
            if rows:
                yield rows
                after = rows[-1]["id"]
            if len(rows) < AT_ONCE:
                return


def _batches(ids: Collection[int]) -> Iterable[list[int]]:
    rising = sorted(ids)
    for start in range(0, len(rising), AT_ONCE):
        yield rising[start : start + AT_ONCE]


def _ids(rows: Iterable[Row]) -> set[int]:
    return {row["id"] for row in rows}


def _ordered(rows: list[Row]) -> list[Statement]:
    followed = [row for row in rows if row["next"] is not None]
    return [(cypher.DROP_NEXT, {"rows": rows}), (cypher.PUT_NEXT, {"rows": followed})]


def _edges(rows: list[Row], drop: str, put: str) -> list[Statement]:
    edges = [
        [row["id"], to, weight] for row in rows for to, weight in zip(row["to"], row["weights"], strict=True)
    ]
    return [(drop, {"rows": [{"id": row["id"], "to": row["to"]} for row in rows]}), (put, {"edges": edges})]
