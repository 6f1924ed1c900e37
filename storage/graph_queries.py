"""The SQL behind `GraphPostgres`; every list of ids arrives as one array."""

from __future__ import annotations

from sqlalchemy import text

from storage import hidden
from storage.graph import NAMED_KINDS
from storage.neighbourhood import Query

_NAMED_KINDS = ", ".join(f"'{kind}'" for kind in NAMED_KINDS)

NAMES = text(
    f"""
    SELECT id, kind, name, status = 'accepted' AS accepted, poi_id
    FROM entities
    WHERE case_id = :case AND status <> 'rejected'
      AND kind IN ({_NAMED_KINDS})
      AND id NOT IN {hidden.ENTITIES}
    ORDER BY (status = 'accepted') DESC, id
    LIMIT :limit
    """
)

SAME_POIS = text(
    "SELECT id, poi_id FROM entities WHERE case_id = :case AND id = ANY(:entities) AND poi_id IS NOT NULL "
    "ORDER BY id"
)

POIS = text("SELECT id, name, aliases FROM pois WHERE case_id = :case ORDER BY id")

SAME = text(
    """
    SELECT same.entity, same.other
    FROM same_as AS same
    JOIN entities AS one ON one.id = same.entity AND one.status <> 'rejected'
    JOIN entities AS two ON two.id = same.other AND two.status <> 'rejected'
    WHERE same.case_id = :case AND same.verdict = 'same'
    ORDER BY same.entity, same.other
    """
)

# `other` is a person of interest where the verdict is about one.
APART = text(
    """
    SELECT entity, coalesce(other, poi) AS other
    FROM same_as WHERE case_id = :case AND verdict = 'different'
    ORDER BY entity, other
    """
)

# What is kept counts hidden evidence, of which there is hardly ever any.
SIZE = text(
    f"""
    SELECT coalesce((SELECT chunks FROM case_totals WHERE case_id = :case), 0)
         - (SELECT count(*) FROM chunks AS unseen WHERE unseen.evidence_id IN {hidden.EVIDENCE})
    """
)

COMMONNESS = text(
    f"""
    SELECT kept.entity_id, (kept.chunks - coalesce(unseen.chunks, 0))::int
    FROM entity_counts AS kept LEFT JOIN (
        SELECT entity_id, count(DISTINCT chunk_id) AS chunks FROM mentions
        WHERE chunk_id IN {hidden.CHUNKS} AND entity_id = ANY(:entities)
        GROUP BY entity_id
    ) AS unseen USING (entity_id)
    WHERE kept.case_id = :case AND kept.entity_id = ANY(:entities)
      AND kept.chunks > coalesce(unseen.chunks, 0)
    """
)

# What chunks mention tells of a name only where some are hidden.
NAMES_VERSION = text(
    """
    SELECT kept.names, CASE WHEN EXISTS (
        SELECT FROM evidence WHERE case_id = :case AND hidden_at IS NOT NULL
    ) THEN kept.mentions ELSE 0 END
    FROM case_totals AS kept WHERE kept.case_id = :case
    """
)

# Of all that names are made of: equal digests are equal names.
NAMES_DIGEST = text(
    f"""
    WITH named AS ({NAMES.text}), person AS ({POIS.text}), joined AS ({SAME.text})
    SELECT encode(sha256(convert_to(concat_ws(E'\\n',
        (SELECT string_agg(named::text, ',' ORDER BY id) FROM named), 'persons',
        (SELECT string_agg(person::text, ',' ORDER BY id) FROM person), 'the same',
        (SELECT string_agg(joined::text, ',' ORDER BY entity, other) FROM joined)
    ), 'UTF8')), 'hex')
    """
)

# Entity by entity, in the order of its index: nothing is sorted but the fullest.
MENTIONS = text(
    f"""
    SELECT found.chunk_id, e.id, found.times
    FROM entities e CROSS JOIN LATERAL (
        SELECT m.chunk_id, count(*)::int AS times
        FROM mentions m
        WHERE m.entity_id = e.id AND m.chunk_id NOT IN {hidden.CHUNKS}
        GROUP BY m.chunk_id
        ORDER BY count(*) DESC, m.chunk_id
        LIMIT :limit
    ) AS found
    WHERE e.id = ANY(:entities) AND e.case_id = :case AND e.status <> 'rejected'
    ORDER BY found.chunk_id, e.id
    """
)

MENTIONED = text(
    """
    SELECT m.chunk_id, m.entity_id
    FROM mentions m JOIN entities e ON e.id = m.entity_id
    WHERE m.chunk_id = ANY(:chunks) AND e.status <> 'rejected'
    GROUP BY m.chunk_id, m.entity_id
    ORDER BY m.chunk_id, m.entity_id
    """
)

OF_CASE = text(
    "SELECT id FROM chunks WHERE case_id = :case AND id = ANY(:chunks) "
    f"AND evidence_id NOT IN {hidden.EVIDENCE} ORDER BY id"
)

# By the index alone: the rows hold texts and vectors, and each lies on a page of its own.
CHUNKS = text(
    f"""
    SELECT found.id, found.evidence_id, found.ordinal
    FROM unnest(CAST(:chunks AS bigint[])) AS own (id) CROSS JOIN LATERAL (
        SELECT id, evidence_id, ordinal FROM chunks WHERE case_id = :case AND id = own.id OFFSET 0
    ) AS found
    WHERE found.evidence_id NOT IN {hidden.EVIDENCE} ORDER BY found.id
    """
)

BESIDE = text(
    """
    SELECT n.id
    FROM chunks c
    JOIN chunks n ON n.evidence_id = c.evidence_id AND n.ordinal IN (c.ordinal - 1, c.ordinal + 1)
    WHERE c.case_id = :case AND c.id = ANY(:chunks)
    GROUP BY n.id
    ORDER BY n.id
    """
)

ALIKE = text(
    f"""
    SELECT source, target, weight
    FROM similarities
    WHERE (source = ANY(:chunks) OR target = ANY(:chunks))
      AND source NOT IN {hidden.CHUNKS} AND target NOT IN {hidden.CHUNKS}
    ORDER BY weight DESC, source, target
    """
)

ENTITIES = text(
    """
    SELECT id, status = 'accepted' AS accepted, poi_id, kind
    FROM entities
    WHERE case_id = :case AND id = ANY(:entities) AND status <> 'rejected'
    ORDER BY id
    """
)

# By the chunks, of which each mentions little: common entities are mentioned by a large part of a case.
JOINED = text(
    """
    SELECT own.id, m.entity_id, count(*)::int AS times
    FROM unnest(CAST(:chunks AS bigint[])) AS own (id) CROSS JOIN LATERAL (
        SELECT entity_id FROM mentions WHERE chunk_id = own.id OFFSET 0
    ) AS m
    WHERE m.entity_id = ANY(:entities)
    GROUP BY own.id, m.entity_id
    ORDER BY own.id, m.entity_id
    """
)

ALIKE_WITHIN = text(
    """
    SELECT edge.source, edge.target, edge.weight
    FROM unnest(CAST(:chunks AS bigint[])) AS own (id) CROSS JOIN LATERAL (
        SELECT source, target, weight FROM similarities WHERE source = own.id OFFSET 0
    ) AS edge
    WHERE edge.target = ANY(:chunks)
    ORDER BY edge.source, edge.target
    """
)

RELATED = text(
    f"""
    SELECT least(subject, object), greatest(subject, object), count(*)::int
    FROM relations
    WHERE case_id = :case AND subject = ANY(:entities) AND object = ANY(:entities)
      AND chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)

CASE_RELATED = text(
    f"""
    SELECT least(subject, object), greatest(subject, object), count(*)::int
    FROM relations WHERE case_id = :case AND chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)

CASE_CHUNKS = text(
    "SELECT id, evidence_id, ordinal FROM chunks WHERE case_id = :case "
    f"AND evidence_id NOT IN {hidden.EVIDENCE} ORDER BY id"
)

CASE_ENTITIES = text(
    f"""
    SELECT id, status = 'accepted' AS accepted, poi_id, kind
    FROM entities WHERE case_id = :case AND status <> 'rejected' AND id NOT IN {hidden.ENTITIES}
    ORDER BY id
    """
)

CASE_EVIDENCE = text("SELECT id FROM evidence WHERE case_id = :case AND hidden_at IS NULL ORDER BY id")

CASE_MENTIONS = text(
    f"""
    SELECT m.chunk_id, m.entity_id, count(*)::int AS times
    FROM mentions m JOIN entities e ON e.id = m.entity_id
    WHERE e.case_id = :case AND e.status <> 'rejected' AND m.chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY m.chunk_id, m.entity_id
    ORDER BY m.chunk_id, m.entity_id
    """
)

CASE_ALIKE = text(
    "SELECT source, target, weight FROM similarities WHERE case_id = :case "
    f"AND source NOT IN {hidden.CHUNKS} AND target NOT IN {hidden.CHUNKS} ORDER BY source, target"
)

VERSION = text(
    """
    SELECT md5(concat_ws('.',
        (SELECT concat(count(*), '-', max(id), '-', sum(id)) FROM evidence WHERE case_id = :case),
        (SELECT concat(count(*), '-', max(id), '-', sum(id)) FROM chunks WHERE case_id = :case),
        (SELECT string_agg(id::text, ',' ORDER BY id)
         FROM evidence WHERE case_id = :case AND hidden_at IS NOT NULL),
        (SELECT string_agg(concat(id, status, poi_id), ',' ORDER BY id)
         FROM entities WHERE case_id = :case),
        (SELECT concat(count(*), '-', sum(m.chunk_id)) FROM mentions m
         JOIN entities e ON e.id = m.entity_id WHERE e.case_id = :case),
        (SELECT concat(count(*), '-', max(id), '-', sum(subject), '-', sum(object))
         FROM relations WHERE case_id = :case),
        (SELECT concat(count(*), '-', max(id), '-', sum(id))
         FROM same_as WHERE case_id = :case AND verdict = 'same'),
        (SELECT concat(count(*), '-', sum(source), '-', sum(target))
         FROM similarities WHERE case_id = :case)))
    """
)

PASSAGES = text(
    """
    SELECT c.id, c.evidence_id, e.title, c.page, c.start, c."end",
           c.text, c.boxes, e.meta
    FROM chunks c JOIN evidence e ON e.id = c.evidence_id
    WHERE c.case_id = :case AND c.id = ANY(:chunks) AND e.hidden_at IS NULL
    """
)

LABELS = text(
    """
    SELECT id, name FROM entities WHERE case_id = :case AND id = ANY(:nodes)
    UNION ALL
    SELECT id, name FROM pois WHERE case_id = :case AND id = ANY(:nodes)
    UNION ALL
    SELECT id, title FROM evidence WHERE case_id = :case AND id = ANY(:nodes)
    UNION ALL
    SELECT c.id, CASE WHEN c.page > 0 THEN concat(e.title, ', page ', c.page) ELSE e.title END
    FROM chunks c JOIN evidence e ON e.id = c.evidence_id
    WHERE c.case_id = :case AND c.id = ANY(:nodes)
    """
)

NAMED_AT = text(
    """
    SELECT m.chunk_id, m.start, m."end", e.kind, e.id, e.poi_id
    FROM mentions m JOIN entities e ON e.id = m.entity_id
    WHERE e.case_id = :case AND m.chunk_id = ANY(:chunks) AND e.status <> 'rejected'
    """
)

QUERIES = {
    Query.SIZE: SIZE,
    Query.NAMES: NAMES,
    Query.POIS: POIS,
    Query.COMMONNESS: COMMONNESS,
    Query.MENTIONS: MENTIONS,
    Query.MENTIONED: MENTIONED,
    Query.OF_CASE: OF_CASE,
    Query.CHUNKS: CHUNKS,
    Query.BESIDE: BESIDE,
    Query.ALIKE: ALIKE,
    Query.ENTITIES: ENTITIES,
    Query.JOINED: JOINED,
    Query.ALIKE_WITHIN: ALIKE_WITHIN,
    Query.RELATED: RELATED,
    Query.SAME: SAME,
    Query.CASE_CHUNKS: CASE_CHUNKS,
    Query.CASE_ENTITIES: CASE_ENTITIES,
    Query.CASE_EVIDENCE: CASE_EVIDENCE,
    Query.CASE_MENTIONS: CASE_MENTIONS,
    Query.CASE_ALIKE: CASE_ALIKE,
    Query.CASE_RELATED: CASE_RELATED,
}
