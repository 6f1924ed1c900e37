"""What searches of Detective mode have found, shown only as long as their user may see all it rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.attention import LET

NodeSort = Literal["poi", "entity", "evidence"]

_PUT_DRAFTS = text(
    """
    INSERT INTO finding_drafts (machine, stage, user_id, drafts)
    VALUES (:machine, :stage, :user, CAST(:drafts AS jsonb))
    ON CONFLICT (machine, stage) DO UPDATE SET drafts = excluded.drafts
    """
)
_DRAFTS = text("SELECT stage, drafts FROM finding_drafts WHERE machine = :machine ORDER BY stage")
_DROP_DRAFTS = text("DELETE FROM finding_drafts WHERE machine = :machine")
_KEEP_DRAFTS = text("SELECT machine FROM finding_drafts WHERE machine = :machine ORDER BY stage FOR SHARE")
_DROP = text("DELETE FROM findings WHERE machine = :machine")

_KEEP_CASES = text(
    """
    SELECT c.id FROM cases c JOIN members m ON m.case_id = c.id AND m.user_id = :user
    WHERE c.id = ANY(:cases) AND c.hidden_at IS NULL ORDER BY c.id FOR KEY SHARE OF c
    """
)
_KEEP_EVIDENCE = text(
    "SELECT id FROM evidence WHERE id = ANY(:evidence) AND hidden_at IS NULL ORDER BY id FOR KEY SHARE"
)
_INSERT = text(
    """
    INSERT INTO findings (machine, place, user_id, fingerprint, kind, explicit, score, confidence,
                          cases, evidence, nodes, body)
    VALUES (:machine, :place, :user, :fingerprint, :kind, :explicit, :score, :confidence,
            :cases, :evidence, :nodes, CAST(:body AS jsonb))
    """
)
_SHOWN = """
    f.cases <@ CAST(:cases AS text[])
    AND NOT EXISTS (
        SELECT 1 FROM unnest(f.evidence) AS rests(id) LEFT JOIN evidence e ON e.id = rests.id
        WHERE e.id IS NULL OR e.hidden_at IS NOT NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM unnest(f.nodes) AS rests(id)
        WHERE NOT EXISTS (SELECT 1 FROM entities n WHERE n.id = rests.id AND n.status <> 'rejected')
          AND NOT EXISTS (SELECT 1 FROM pois n WHERE n.id = rests.id)
          AND NOT EXISTS (SELECT 1 FROM evidence n WHERE n.id = rests.id)
    )
"""
"""A finding is shown to a member of all these cases, while nothing that it rests on is out of sight."""

_OF_SEARCH = text(
    f"""
    SELECT f.*, coalesce(v.value, 0) AS verdict FROM findings f
    LEFT JOIN finding_verdicts v ON v.user_id = f.user_id AND v.fingerprint = f.fingerprint
    WHERE f.machine = :machine AND f.user_id = :user AND {_SHOWN} ORDER BY f.place
    """
)
_COUNT = text("SELECT count(*) FROM findings WHERE machine = :machine AND user_id = :user")
_ONE = text(
    f"""
    SELECT f.cases, f.evidence, f.nodes, f.body FROM findings f
    WHERE f.machine = :machine AND f.user_id = :user AND f.fingerprint = :fingerprint AND {_SHOWN}
    """
)
_VERDICT = text(
    "SELECT value, given_at FROM finding_verdicts "
    "WHERE user_id = :user AND fingerprint = :fingerprint FOR UPDATE"
)
_STAND = text(
    """
    INSERT INTO finding_verdicts (user_id, fingerprint, value, cases, evidence, nodes, given_at)
    VALUES (:user, :fingerprint, :value, :cases, :evidence, :nodes, :at)
    ON CONFLICT (user_id, fingerprint) DO UPDATE SET value = excluded.value, cases = excluded.cases,
        evidence = excluded.evidence, nodes = excluded.nodes, given_at = excluded.given_at
    """
)
_NOTE = text(
    f"""
    INSERT INTO attention (case_id, user_id, what, node, value, query, effect, at)
    SELECT :case, CAST(:user AS text), :what, :node, :value, :query, :effect, :at WHERE {LET}
    ON CONFLICT (case_id, effect) DO NOTHING
    """
)
_NOTE_BACK = text(
    """
    INSERT INTO attention (case_id, user_id, what, node, value, query, effect, at)
    SELECT :case, CAST(:user AS text), CAST(:what AS text), :node, :value, :query, :effect, :at
    WHERE EXISTS (
        SELECT 1 FROM attention
        WHERE case_id = :case AND user_id = CAST(:user AS text) AND what = CAST(:what AS text)
          AND node = :node
    )
    ON CONFLICT (case_id, effect) DO NOTHING
    """
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:user, 25))")
_VERDICTS = text(
    """
    SELECT fingerprint, value, nodes FROM finding_verdicts
    WHERE user_id = :user AND value <> 0 AND cases <@ CAST(:cases AS text[]) ORDER BY fingerprint
    """
)

_WITH_EVIDENCE = (
    text("DELETE FROM findings WHERE evidence && ARRAY[CAST(:evidence AS bigint)]"),
    text("DELETE FROM finding_verdicts WHERE evidence && ARRAY[CAST(:evidence AS bigint)]"),
)
_WITH_CASE = (
    text("DELETE FROM findings WHERE cases && ARRAY[CAST(:case AS text)]"),
    text("DELETE FROM finding_verdicts WHERE cases && ARRAY[CAST(:case AS text)]"),
)
_WITH_NODE = text("DELETE FROM findings WHERE nodes && ARRAY[CAST(:node AS bigint)]")


@dataclass(frozen=True)
class PathNode:
    """A person of interest, an entity or evidence on a path; `kind` is the entity's, or a media type."""

    node: int
    what: NodeSort
    kind: str
    name: str
    case: str


@dataclass(frozen=True)
class PathEdge:
    """Why a node of a path is joined to the next one, in words; `explicit` where something says so."""

    kind: str
    label: str
    explicit: bool


@dataclass(frozen=True)
class Source:
    """A place in evidence that a finding rests on.

    `start` and `end` are characters of the evidence's text, `page` counts from 1 (0: no pages), `chunk` is
    the passage, `marked` where the names stand in the snippet.
    """

    evidence: int
    case: str
    title: str
    page: int
    start: int
    end: int
    chunk: int
    snippet: str
    marked: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class FindingRow:
    """A finding as it is shown.

    Attributes:
        fingerprint: The same for the same finding in a later search.
        explicit: Whether every step of the path is said by something; else some are only alike.
        score: 0 to 1; explicit ones are above 0.5, others below.
        confidence: 0 to 1: how sure it is that the path joins the same things.
        cases, evidence, nodes: All that it rests on.
        verdict: +1 accepted, −1 dismissed, 0 neither.
    """

    fingerprint: str
    kind: str
    explicit: bool
    score: float
    confidence: float
    cases: list[str]
    evidence: list[int]
    nodes: list[int]
    sentence: str
    path: list[PathNode]
    edges: list[PathEdge]
    sources: list[Source]
    verdict: int = 0


@dataclass(frozen=True)
class Verdicts:
    """What a user has said of findings in the cases they may see: dismissed fingerprints, and accepted
    findings' nodes with how many of them each is part of."""

    dismissed: frozenset[str]
    accepted: frozenset[str]
    nodes: dict[int, int]


class Findings:
    """Drafts, findings and verdicts in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def put_drafts(self, machine: str, user: str, stage: str, drafts: Sequence[dict[str, Any]]) -> None:
        """Replace what a stage hands on: ids and numbers, which say nothing by themselves."""
        values = {"machine": machine, "stage": stage, "user": user}
        async with self._database.begin() as connection:
            await connection.execute(_PUT_DRAFTS, values | {"drafts": orjson.dumps(list(drafts)).decode()})

    async def drafts(self, machine: str) -> dict[str, list[dict[str, Any]]]:
        """What the stages have handed on so far, by stage."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(_DRAFTS, {"machine": machine})).all()
        return {row.stage: row.drafts for row in rows}

    async def put(self, machine: str, user: str, findings: Sequence[FindingRow]) -> list[FindingRow]:
        """Replace the findings of a search; returns what was stored.

        A finding that rests on anything that has gone, is out of sight, or that the user may not see (any
        more) is left out. Of a search without drafts, which was dropped meanwhile, nothing is stored.
        """
        cases = sorted({case for one in findings for case in one.cases})
        evidence = sorted({node for one in findings for node in one.evidence})
        async with self._database.begin() as connection:
            if not (await connection.execute(_KEEP_DRAFTS, {"machine": machine})).all():
                return []
            # Locked before any finding is touched, in the order in which whoever deletes them goes on.
            asked: dict[str, Any] = {"user": user, "cases": cases, "evidence": evidence}
            seen_cases = set((await connection.execute(_KEEP_CASES, asked)).scalars())
            seen = set((await connection.execute(_KEEP_EVIDENCE, asked)).scalars())
            kept = [f for f in findings if seen_cases.issuperset(f.cases) and seen.issuperset(f.evidence)]
            await connection.execute(_DROP, {"machine": machine})
            if kept:
                rows = [_values(machine, user, place, one) for place, one in enumerate(kept)]
                await connection.execute(_INSERT, rows)
        return kept

    async def of_search(
        self, machine: str, user: str, cases: Collection[str]
    ) -> tuple[list[FindingRow], int]:
        """The findings of a user's search that rest on nothing but these cases, and how many more there are.

        Those are out of sight: a right has ended, or something waits to be deleted or was rejected.
        """
        asked: dict[str, Any] = {"machine": machine, "user": user, "cases": sorted(cases)}
        async with self._database.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            rows = (await connection.execute(_OF_SEARCH, asked)).all()
            count = (await connection.execute(_COUNT, asked)).scalar_one()
        return [_finding(row) for row in rows], count - len(rows)

    async def judge(
        self,
        machine: str,
        user: str,
        fingerprint: str,
        value: int,
        *,
        cases: Collection[str],
        effect: str,
        at: float,
    ) -> bool:
        """Let `value` (−1, 0, +1) be what the user thinks of a finding; whether it was theirs to judge.

        The word that was given last counts, in whatever order words arrive; a repeat changes nothing.
        Attention is noted on the passages that the finding rests on; a word taken back is noted with the
        opposite sign, so that the values of a node always sum to what stands.
        """
        key: dict[str, Any] = {"user": user, "fingerprint": fingerprint}
        given_at = datetime.fromtimestamp(at, UTC)
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, key)
            asked = key | {"machine": machine, "cases": sorted(cases)}
            row = (await connection.execute(_ONE, asked)).one_or_none()
            if row is None:
                return False
            before = (await connection.execute(_VERDICT, key)).one_or_none()
            if before is not None and before.given_at > given_at:
                return True
            old = 0 if before is None else before.value
            rests = {"cases": row.cases, "evidence": row.evidence, "nodes": row.nodes}
            await connection.execute(_STAND, key | rests | {"value": value, "at": given_at})
            if value != old:
                noted = {"user": user, "query": machine, "at": given_at}
                await _note(connection, row.body["sources"], old, value, effect, noted)
        return True

    async def verdicts(self, user: str, cases: Collection[str]) -> Verdicts:
        """What the user has said of findings that rest on nothing but these cases."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(_VERDICTS, {"user": user, "cases": sorted(cases)})).all()
        nodes: dict[int, int] = defaultdict(int)
        for row in rows:
            for node in row.nodes if row.value > 0 else ():
                nodes[node] += 1
        return Verdicts(
            frozenset(row.fingerprint for row in rows if row.value < 0),
            frozenset(row.fingerprint for row in rows if row.value > 0),
            dict(nodes),
        )

    async def drop(self, machine: str) -> None:
        """Delete what a search has left; the user's verdicts stay."""
        async with self._database.begin() as connection:
            # First, as `put` holds on to them until it has committed.
            await connection.execute(_DROP_DRAFTS, {"machine": machine})
            await connection.execute(_DROP, {"machine": machine})


async def forget_evidence(connection: AsyncConnection, evidence: int) -> None:
    """Delete what rests on evidence; call it behind the deletion of its row; `Findings.put` waits for it."""
    for statement in _WITH_EVIDENCE:
        await connection.execute(statement, {"evidence": evidence})


async def forget_case(connection: AsyncConnection, case: str) -> None:
    """Delete what rests on a case; call it behind the deletion of its row; `Findings.put` waits for it."""
    for statement in _WITH_CASE:
        await connection.execute(statement, {"case": case})


async def forget_node(connection: AsyncConnection, node: int) -> None:
    """Delete the findings that name a person of interest who is none any more."""
    await connection.execute(_WITH_NODE, {"node": node})


async def _note(
    connection: AsyncConnection,
    sources: Sequence[dict[str, Any]],
    old: int,
    new: int,
    effect: str,
    noted: dict[str, Any],
) -> None:
    """What is taken back is noted even of a user who has turned attention off, if it had been noted."""
    sources_of = sorted({(source["case"], source["chunk"]) for source in sources})
    for statement, sign, change in ((_NOTE_BACK, old, -old), (_NOTE, new, new)):
        rows = [
            noted
            | {
                "case": case,
                "node": chunk,
                "what": "accepted" if sign > 0 else "dismissed",
                "value": float(change),
                "effect": f"{effect}:{chunk}:{change}:{sign}",
            }
            for case, chunk in sources_of
        ]
        if sign and rows:
            await connection.execute(statement, rows)


def _values(machine: str, user: str, place: int, finding: FindingRow) -> dict[str, Any]:
    values = asdict(finding)
    body = {name: values.pop(name) for name in ("sentence", "path", "edges", "sources")}
    del values["verdict"]
    return values | {
        "machine": machine,
        "place": place,
        "user": user,
        "body": orjson.dumps(body).decode(),
    }


def _finding(row: Any) -> FindingRow:
    body = row.body
    return FindingRow(
        fingerprint=row.fingerprint,
        kind=row.kind,
        explicit=row.explicit,
        score=row.score,
        confidence=row.confidence,
        cases=row.cases,
        evidence=row.evidence,
        nodes=row.nodes,
        sentence=body["sentence"],
        path=[PathNode(**node) for node in body["path"]],
        edges=[PathEdge(**edge) for edge in body["edges"]],
        sources=[
            Source(**source | {"marked": [(a, b) for a, b in source["marked"]]}) for source in body["sources"]
        ],
        verdict=row.verdict,
    )
