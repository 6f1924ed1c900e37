"""Where a case names its entities: in running text or not, and beside what."""

from __future__ import annotations

from sqlalchemy import text

from storage import hidden

_CAPITALS = "'[A-Z0-9$(<>[/-]'"
_UNREAD = " \n\r\t\u00a0>|*_.,;:?!'\"()[]{}=-\u2013\u2014\u201c\u201d\u2018\u2019"
"""What may differ between a text and its copy: white space, marks of quotation, punctuation."""

BESIDE = 150
"""Characters on both sides of a name that tell whether it stands in running text."""

CONTEXT = 60
"""Characters on one side of a name that make it the same place in another file, quoted or copied."""

LINE = 4
"""A line of running text has at least one word of so many in lower case."""

LEAST_CONTEXT = 24
"""Of them at least so many letters and signs; fewer are alike by chance."""


def _words(text: str) -> str:
    """SQL for how many words a text has whose white space is single and whose capitals are X."""
    return f"(length({text}) - length(replace({text}, ' ', '')))"


def _lower(text: str, addresses: str) -> str:
    """SQL for how many of them begin in lower case and are no address."""
    capitals = f"(length({text}) - length(replace({text}, ' X', ''))) / 2"
    return f"greatest({_words(text)} - {capitals} - {addresses}, 0)"


def flat(text: str) -> str:
    """SQL for a text whose white space is single and whose capitals, figures and brackets are X."""
    # `translate` compares each character with all of these: seven times as long for a passage.
    capitals = f"regexp_replace({text}, {_CAPITALS}, 'X', 'g')"
    return f"replace(replace(' ' || translate({capitals}, E'\\n\\t', '  '), '  ', ' '), '  ', ' ')"


# The name stands as an X in its line. Before a colon it says who speaks, or is the name of a field; in a line
# of hardly any words, or a ruled one, it is in a header, a list or a signature.
MENTIONS = text(
    f"""
    SELECT chunk_id, entity_id, start, {_words("flat")} AS words,
           CASE WHEN labels OR {LINE} * {_lower("line", "line_addresses")} < {_words("line")}
                     OR {_lower("line", "line_addresses")} = 0
                THEN 0 ELSE {_lower("flat", "addresses")} END AS prose,
           CASE WHEN length(before) < {LEAST_CONTEXT} THEN 0 ELSE hashtextextended(before, 0) END AS before,
           CASE WHEN length(behind) < {LEAST_CONTEXT} THEN 0 ELSE hashtextextended(behind, 0) END AS behind,
           {_lower("ahead", "addresses_ahead")} AS ahead
    FROM (
        SELECT chunk_id, entity_id, start, left(behind, 1) = ':' OR line LIKE '%-----%' AS labels,
               length(before || behind) - length(replace(before || behind, '@', '')) AS addresses,
               length(line) - length(replace(line, '@', '')) AS line_addresses,
               {flat("before || 'X' || behind")} AS flat, {flat("line")} AS line,
               {flat("ahead")} AS ahead, length(ahead) - length(replace(ahead, '@', '')) AS addresses_ahead,
               translate(lower(right(before, {CONTEXT})), :spaces, '') AS before,
               translate(lower(left(behind, {CONTEXT})), :spaces, '') AS behind
        FROM (
            SELECT *, concat(right(before, strpos(concat(reverse(before), :newline), :newline) - 1), 'X',
                left(behind, strpos(concat(behind, :newline), :newline) - 1)) AS line
            FROM (
                SELECT m.chunk_id, m.entity_id, m.start,
                       concat(left(c.text, greatest(0, m.start - c.start)), 'X') AS ahead,
                       substr(c.text, greatest(1, m.start - c.start + 1 - {BESIDE}),
                           greatest(0, least({BESIDE}, m.start - c.start))) AS before,
                       substr(c.text, m."end" - c.start + 1, {BESIDE}) AS behind
                FROM mentions m JOIN entities e ON e.id = m.entity_id JOIN chunks c ON c.id = m.chunk_id
                WHERE e.case_id = :case AND e.status <> 'rejected'
                  AND (e.kind IN ('poi', 'person', 'organisation', 'email', 'phone', 'citation')
                       OR (e.kind = 'name' AND e.key = ANY(:people)))
                  AND m.chunk_id NOT IN {hidden.CHUNKS}
                OFFSET 0
            ) AS around
            OFFSET 0
        ) AS lined
        OFFSET 0
    ) AS levelled
    ORDER BY chunk_id, entity_id, start
    """
).bindparams(spaces=_UNREAD, newline="\n")
