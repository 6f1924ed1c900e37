-- One page of machines, newest change first. Of each topic no more rows are kept than the page holds,
-- found along the index on topic and time; snapshots are read for the page alone.
WITH page AS (
  SELECT found.*
  FROM unnest(CAST(:topics AS text[])) AS visible(topic)
  CROSS JOIN LATERAL (
    SELECT a.id, a.topic, a.kind, a.revision, a.states, a.updated_at, a.terminated, a.title, a.spawned_by
    FROM archived_machines AS a
    WHERE a.topic = visible.topic
      AND (a.updated_at, a.id COLLATE "C") < (CAST(:before_at AS float8), CAST(:before_id AS text))
      AND a.updated_at >= CAST(:changed_after AS float8)
      AND (CAST(:kind AS text) IS NULL OR a.kind = :kind)
      AND (CAST(:state AS text) IS NULL OR :state = ANY (a.states))
      AND (CAST(:finished AS boolean) IS NULL OR a.terminated = :finished)
      AND (CAST(:owner AS text) IS NULL OR a.spawned_by = :owner OR a.topic = 'user:' || :owner)
      AND (CAST(:prefix AS text) IS NULL OR a.id LIKE :prefix OR a.title ILIKE :within)
      AND (CAST(:machines AS text[]) IS NULL OR a.id = ANY (:machines))
      AND NOT a.id = ANY (CAST(:without AS text[]))
    ORDER BY a.updated_at DESC, a.id COLLATE "C" DESC
    LIMIT :most
  ) AS found
  ORDER BY found.updated_at DESC, found.id COLLATE "C" DESC
  LIMIT :most
)
SELECT page.*, coalesce(u.name, '') AS spawned_by_name, coalesce(a.snapshot #> '{context,work}', '{}') AS work
FROM page
JOIN archived_machines AS a USING (id)
LEFT JOIN users AS u ON u.id = page.spawned_by
ORDER BY page.updated_at DESC, page.id COLLATE "C" DESC
