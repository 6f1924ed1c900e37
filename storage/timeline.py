"""What happened when, by the evidence of a case: dates it tells, when mails were sent and files were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden
from storage.same_as import Joined

Kind = Literal["told", "mail", "document", "picture"]
"""`told` by the text; when a `mail` was sent; a `document` was made; a `picture` was taken."""
KINDS: tuple[Kind, ...] = get_args(Kind)

_SLASHED = r"^\s*(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})\s*$"
_ISO = r"^\d{4}-\d{2}-\d{2}"

_TOLD = f"""
    SELECT DISTINCT ON (c.evidence_id, m.start)
           c.evidence_id AS evidence, m.start, m."end", m.chunk_id AS chunk, e.key,
           substr(c.text, m.start - c.start + 1, m."end" - m.start) AS written
    FROM entities e JOIN mentions m ON m.entity_id = e.id JOIN chunks c ON c.id = m.chunk_id
    JOIN evidence ev ON ev.id = c.evidence_id
    WHERE e.case_id = :case AND e.kind = 'date' AND e.status <> 'rejected'
      AND e.key ~ '^[0-9]{{4}}(-[0-9]{{2}}){{0,2}}$' AND m.chunk_id NOT IN {hidden.CHUNKS}
      -- When a mail was sent is an entry of its own.
      AND NOT (ev.media_type = 'message/rfc822' AND c.start = 0 AND ev.meta ? 'date'
               AND substr(c.text, 1, m.start) ~ '(^|\n)Date:[^\n]*$')
    ORDER BY c.evidence_id, m.start, m.chunk_id
"""

_READ = f"""
    SELECT told.*, parts[1]::int AS first, parts[2]::int AS second,
           coalesce(parts[1]::int <= 12 AND parts[2]::int <= 12 AND parts[1] <> parts[2], false)
               AND length(key) = 10 AS ambiguous
    FROM ({_TOLD}) AS told LEFT JOIN LATERAL regexp_match(written, '{_SLASHED}') AS parts ON true
"""

_FORMS = text(
    f"""
    SELECT count(*) FILTER (WHERE first > 12), count(*) FILTER (WHERE second > 12),
           count(*) FILTER (WHERE ambiguous)
    FROM ({_READ}) AS read
    """
)

_WHEN = """
    CASE WHEN ambiguous THEN substr(key, 1, 5)
        || lpad((CASE WHEN CAST(:day_first AS boolean) THEN second ELSE first END)::text, 2, '0') || '-'
        || lpad((CASE WHEN CAST(:day_first AS boolean) THEN first ELSE second END)::text, 2, '0')
    ELSE key END
"""
_OTHERWISE = """
    CASE WHEN ambiguous THEN substr(key, 1, 5)
        || lpad((CASE WHEN CAST(:day_first AS boolean) THEN first ELSE second END)::text, 2, '0') || '-'
        || lpad((CASE WHEN CAST(:day_first AS boolean) THEN second ELSE first END)::text, 2, '0')
    ELSE '' END
"""

_MADE = """
    SELECT left(meta ->> '{name}', 19) AS at, '{kind}' AS kind, evidence.id AS evidence, 0 AS start,
           0 AS "end", CAST(0 AS bigint) AS chunk, '' AS written, '' AS otherwise
    FROM evidence WHERE case_id = :case AND hidden_at IS NULL AND meta ->> '{name}' ~ '{iso}'
"""
_ENTRIES = (
    f"""
    SELECT {_WHEN} AS at, 'told' AS kind, evidence, start, "end", chunk, written, {_OTHERWISE} AS otherwise
    FROM ({_READ}) AS read
    UNION ALL """
    + _MADE.format(name="date", kind="mail", iso=_ISO)
    + "UNION ALL"
    + _MADE.format(name="created", kind="document", iso=_ISO)
    + "UNION ALL"
    + _MADE.format(name="taken_at", kind="picture", iso=_ISO)
)

_ABOUT = f"""
    (CAST(:about AS bigint) = 0 OR CASE WHEN chunk > 0
        THEN chunk IN (SELECT chunk_id FROM mentions WHERE entity_id = ANY(CAST(:entities AS bigint[])))
        ELSE evidence IN (
            SELECT c.evidence_id FROM mentions m JOIN chunks c ON c.id = m.chunk_id
            WHERE m.entity_id = ANY(CAST(:entities AS bigint[])) AND m.chunk_id NOT IN {hidden.CHUNKS})
    END)
"""


def _called(part: str) -> str:
    """The people of a mail's header as SQL: their names, or their addresses where they have none."""
    return f"""(
        SELECT string_agg(coalesce(nullif(who ->> 'name', ''), who ->> 'address'), ', ')
        FROM jsonb_array_elements(CASE jsonb_typeof(ev.meta -> '{part}')
            WHEN 'array' THEN ev.meta -> '{part}' ELSE '[]' END) AS who
    )"""


_CHOSEN = f"""
    SELECT * FROM (
        SELECT at COLLATE "C" AS at, kind COLLATE "C" AS kind,
               evidence, start, "end", chunk, written, otherwise
        FROM ({_ENTRIES}) AS read
    ) AS entries
    WHERE kind = ANY(CAST(:kinds AS text[]))
      AND (CAST(:since AS text) = '' OR at >= CAST(:since AS text))
      AND (CAST(:until AS text) = '' OR left(at, 10) <= CAST(:until AS text))
      AND {_ABOUT}
"""

_PAGE = text(
    f"""
    SELECT at, chosen.kind, evidence, chosen.start, chosen."end", chunk, written, otherwise,
           ev.title, {_called("from")} AS sender, {_called("to")} AS receivers,
           coalesce(c.page, 0) AS page, coalesce(c.start, 0) AS chunk_start, coalesce(c.text, '') AS text
    FROM ({_CHOSEN}) AS chosen
    JOIN evidence AS ev ON ev.id = evidence LEFT JOIN chunks AS c ON c.id = chunk
    WHERE CAST(:after_at AS text) = '' OR (at, evidence, chosen.start, chosen.kind)
          > (CAST(:after_at AS text), CAST(:after_evidence AS bigint),
             CAST(:after_start AS int), CAST(:after_kind AS text))
    ORDER BY at, evidence, chosen.start, chosen.kind LIMIT :limit
    """
)
_DENSITY = text(f"SELECT left(at, 7), count(*)::int FROM ({_CHOSEN}) AS chosen GROUP BY 1 ORDER BY 1")
_NAMED = text(
    """
    SELECT m.chunk_id, m.start, m."end", coalesce(p.id, e.id), coalesce(p.name, e.name),
           CASE WHEN p.id IS NULL THEN e.kind ELSE 'poi' END
    FROM mentions m JOIN entities e ON e.id = m.entity_id LEFT JOIN pois p ON p.id = e.poi_id
    WHERE m.chunk_id = ANY(:chunks) AND e.status <> 'rejected' AND e.kind IN ('poi', 'person', 'organisation')
    ORDER BY m.chunk_id, m.start
    """
)
_SAME = text("SELECT entity, other FROM same_as WHERE case_id = :case AND verdict = 'same' AND other > 0")
_OF_NODE = text(
    "SELECT id FROM entities WHERE case_id = :case AND (id = :node OR poi_id = :node) ORDER BY id"
)


@dataclass(frozen=True)
class Chosen:
    """Which entries: of these kinds, from one day until another (ISO, "" for no bound), about a node.

    Attributes:
        about: An entity or a person of interest that is named beside; 0 for whatever.
    """

    kinds: Sequence[Kind] = KINDS
    since: str = ""
    until: str = ""
    about: int = 0


@dataclass(frozen=True)
class After:
    """The last entry of a page, behind which the next one begins."""

    at: str
    evidence: int
    start: int
    kind: str


@dataclass(frozen=True)
class Forms:
    """How many dates in figures can only begin with the day, or with the month, and how many with either."""

    day_first: int
    month_first: int
    either: int

    @property
    def reads_day_first(self) -> bool:
        """Whether the case writes the day first; where nothing tells, the month is taken to come first."""
        return self.day_first > self.month_first


@dataclass(frozen=True)
class Named:
    """Who is named at characters `start`..`end` of the evidence's text."""

    start: int
    end: int
    node: int
    name: str
    kind: str


@dataclass(frozen=True)
class Entry:
    """Something with a date.

    Attributes:
        at: `2001`, `2001-06`, `2001-06-04` or that with a time of day, as its source tells.
        otherwise: The other day that it may mean; "" where there is none.
        start: In the evidence's text, with `end`; 0 and 0 where the evidence as a whole has the date.
        text: Of the chunk that tells it, which begins at `chunk_start`.
    """

    at: str
    kind: Kind
    evidence: int
    start: int
    end: int
    chunk: int
    written: str
    otherwise: str
    title: str
    sender: str | None
    receivers: str | None
    page: int
    chunk_start: int
    text: str
    named: list[Named] = field(default_factory=list)


class Timeline:
    """Dated entries in PostgreSQL, worked out from what is there whenever they are asked for."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def forms(self, case: str) -> Forms:
        """How the case writes its dates in figures."""
        async with self._database.connect() as connection:
            row = (await connection.execute(_FORMS, {"case": case})).one()
        return Forms(row[0], row[1], row[2])

    async def page(
        self, case: str, chosen: Chosen, forms: Forms, *, after: After | None, limit: int
    ) -> list[Entry]:
        """Entries by time, then by evidence and place."""
        last = after or After("", 0, 0, "")
        async with self._database.connect() as connection:
            asked = await _asked(connection, case, chosen, forms)
            asked |= {"after_at": last.at, "after_evidence": last.evidence, "after_start": last.start}
            asked |= {"after_kind": last.kind, "limit": limit}
            entries = [Entry(*row) for row in await connection.execute(_PAGE, asked)]
            chunks = sorted({entry.chunk for entry in entries if entry.chunk})
            by_chunk: dict[int, list[Named]] = {chunk: [] for chunk in chunks}
            for row in await connection.execute(_NAMED, {"chunks": chunks}):
                by_chunk[row[0]].append(Named(*row[1:]))
        for entry in entries:
            entry.named.extend(by_chunk.get(entry.chunk, []))
        return entries

    async def density(self, case: str, chosen: Chosen, forms: Forms) -> list[tuple[str, int]]:
        """How many entries each month has (`2001-06`), or a year alone; months without any are left out."""
        async with self._database.connect() as connection:
            asked = await _asked(connection, case, chosen, forms)
            return [(row[0], row[1]) for row in await connection.execute(_DENSITY, asked)]


async def _asked(connection: AsyncConnection, case: str, chosen: Chosen, forms: Forms) -> dict[str, Any]:
    entities: list[int] = []
    if chosen.about:
        joined = Joined((row[0], row[1]) for row in await connection.execute(_SAME, {"case": case}))
        mine = await connection.scalars(_OF_NODE, {"case": case, "node": chosen.about})
        entities = sorted({one for entity in mine for one in joined.group(entity)})
    return {
        "case": case,
        "day_first": forms.reads_day_first,
        "kinds": list(chosen.kinds),
        "since": chosen.since,
        "until": chosen.until,
        "about": chosen.about,
        "entities": entities,
    }
