"""Brings the files of imports to where their machines have come, in the transaction that archives these.

A file's state is that of the newest snapshot of its machine that PostgreSQL has; whatever is
carried twice, or late, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from machines.import_files import standing
from machines.snapshot import Snapshot
from storage.import_listing import kind_of_name

_MOVE = text(
    "UPDATE import_files AS f SET state = m.state, evidence = m.evidence, reason = m.reason, "
    "sha256 = CASE WHEN m.sha256 = '' THEN f.sha256 ELSE m.sha256 END, "
    "pages = m.pages, bytes = GREATEST(f.bytes, m.bytes), busy_s = m.busy_s, retryable = m.retryable, "
    "revision = m.revision, machine_at = m.at, asker = '', changed_at = now() "
    "FROM unnest(CAST(:machines AS text[]), CAST(:revisions AS int[]), CAST(:times AS float8[]), "
    "CAST(:states AS text[]), CAST(:evidence AS bigint[]), CAST(:reasons AS text[]), "
    "CAST(:pages AS int[]), CAST(:bytes AS bigint[]), CAST(:busy AS float8[]), CAST(:retryable AS bool[]), "
    "CAST(:hashes AS text[])) "
    "AS m(machine, revision, at, state, evidence, reason, pages, bytes, busy_s, retryable, sha256) "
    # Without the second condition the index of files that have machines is of no use.
    "WHERE f.machine = m.machine AND f.machine <> '' AND (m.revision > f.revision OR m.at > f.machine_at)"
)
_FIND = text(
    "INSERT INTO import_files (import_id, path, path_key, bytes, modified, kind, found, sha256, state, "
    "machine, attempt, revision, machine_at, pages, busy_s, retryable, asker) "
    "SELECT i.id, coalesce(e.filename || '/', '') || m.filename, m.machine, m.bytes, 0, m.kind, true, '', "
    "'queued', m.machine, 1, 0, 0, 0, 0, false, '' "
    "FROM unnest(CAST(:machines AS text[]), CAST(:topics AS text[]), CAST(:parents AS bigint[]), "
    "CAST(:filenames AS text[]), CAST(:bytes AS bigint[]), CAST(:kinds AS text[])) "
    "AS m(machine, topic, parent, filename, bytes, kind) "
    "JOIN imports AS i ON i.topic = m.topic LEFT JOIN evidence AS e ON e.id = m.parent "
    "ORDER BY i.id, m.machine ON CONFLICT DO NOTHING"
)


async def track(connection: AsyncConnection, snapshots: Sequence[Snapshot]) -> None:
    """Note where these machines have come, in the caller's transaction; those of no import are passed over.

    A machine whose file was found inside another brings it onto the list.
    """
    ours = sorted(
        (s for s in snapshots if s.kind == "upload" and s.topic.startswith("import:")), key=lambda s: s.id
    )
    if not ours:
        return
    found = [s for s in ours if s.context.get("parent")]
    if found:
        await connection.execute(
            _FIND,
            {
                "machines": [s.id for s in found],
                "topics": [s.topic for s in found],
                "parents": [s.context["parent"] for s in found],
                "filenames": [s.context["filename"] for s in found],
                "bytes": [s.context["bytes"] for s in found],
                "kinds": [kind_of_name(s.context["filename"]) for s in found],
            },
        )
    told = [standing(snapshot) for snapshot in ours]
    await connection.execute(
        _MOVE,
        {
            "machines": [s.id for s in ours],
            "revisions": [s.revision for s in ours],
            "times": [s.updated_at for s in ours],
            "states": [t.state for t in told],
            "evidence": [t.evidence for t in told],
            "reasons": [t.reason for t in told],
            "pages": [t.pages for t in told],
            "bytes": [t.bytes for t in told],
            "busy": [t.busy_s for t in told],
            "retryable": [t.retryable for t in told],
            "hashes": [s.context.get("sha256", "") for s in ours],
        },
    )
