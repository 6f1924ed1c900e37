"""Conversations of a case: found, named, searched, and taken away with everything that they told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from machines.snapshot import Snapshot
from storage.journal import LOCK as LOCK_TOPIC
from storage.journal import CustodyJournal, Record
from storage.sealed import forget_seals

Before = tuple[float, str]
"""Time of the last question and id: where a page begins, this conversation not included."""

_ASKED = """unnest(
    CAST(:machines AS text[]), CAST(:cases AS text[]), CAST(:conversations AS text[]),
    CAST(:askers AS text[]), CAST(:times AS float8[]), CAST(:questions AS text[]),
    CAST(:answers AS text[]), CAST(:revisions AS int[]), CAST(:updates AS float8[])
  ) AS q(machine, case_id, conversation, asker, asked_at, question, answer, revision, updated_at)
  JOIN cases ON cases.id = q.case_id
  WHERE NOT EXISTS (SELECT 1 FROM deleted_questions AS gone WHERE gone.machine = q.machine)"""
_NOTE_CONVERSATIONS = text(
    f"""
    INSERT INTO conversations (case_id, id, asker, started_at, last_at)
    SELECT q.case_id, q.conversation, (array_agg(q.asker ORDER BY q.asked_at, q.machine))[1],
      min(q.asked_at), max(q.asked_at)
    FROM {_ASKED} GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (case_id, id) DO UPDATE SET last_at = greatest(conversations.last_at, excluded.last_at),
      asker = CASE WHEN excluded.started_at < conversations.started_at
        THEN excluded.asker ELSE conversations.asker END,
      started_at = least(conversations.started_at, excluded.started_at)
    """
)
_NOTE_QUESTIONS = text(
    f"""
    INSERT INTO questions
      (machine, case_id, conversation, asker, asked_at, question, answer, revision, updated_at)
    SELECT q.* FROM {_ASKED} ORDER BY q.machine
    ON CONFLICT (machine) DO UPDATE SET question = excluded.question, answer = excluded.answer,
      revision = excluded.revision, updated_at = excluded.updated_at
    WHERE excluded.revision > questions.revision OR excluded.updated_at > questions.updated_at
    """
)

_MATCHES = """NOT EXISTS (
    SELECT 1 FROM unnest(CAST(:words AS text[])) AS asked(word)
    WHERE strpos(lower({text}), asked.word) = 0
)"""
_TURN = _MATCHES.format(text="q.question || ' ' || q.answer")
_NAME = _MATCHES.format(text="c.name")
_PAGE = text(
    f"""
    SELECT c.id, c.name, c.asker, c.started_at, c.last_at, coalesce(first.question, '') AS question,
      many.turns, many.mine, hit.machine, hit.question AS asked, hit.answer
    FROM conversations AS c
    CROSS JOIN LATERAL (
      SELECT count(*) AS turns, coalesce(bool_or(q.asker = :user), false) AS mine FROM questions AS q
      WHERE q.case_id = c.case_id AND q.conversation = c.id
    ) AS many
    LEFT JOIN LATERAL (
      SELECT q.question FROM questions AS q WHERE q.case_id = c.case_id AND q.conversation = c.id
      ORDER BY q.asked_at, q.machine LIMIT 1
    ) AS first ON true
    LEFT JOIN LATERAL (
      SELECT q.machine, q.question, q.answer FROM questions AS q
      WHERE :searched AND q.case_id = c.case_id AND q.conversation = c.id
        AND {_TURN}
      ORDER BY q.asked_at DESC, q.machine LIMIT 1
    ) AS hit ON true
    WHERE c.case_id = :case AND c.removed_at IS NULL AND many.turns > 0
      AND (:one = '' OR c.id = :one)
      AND (NOT :only_mine OR many.mine OR c.asker = :user)
      AND (NOT :searched OR hit.machine IS NOT NULL OR (c.name <> '' AND {_NAME}))
      AND (CAST(:at AS float8) IS NULL OR (c.last_at, c.id COLLATE "C") < (:at, :id))
    ORDER BY c.last_at DESC, c.id COLLATE "C" DESC LIMIT :limit
    """
)
_MACHINES = text(
    "SELECT machine FROM questions WHERE case_id = :case AND conversation = :id ORDER BY asked_at, machine"
)
_RENAME = text(
    "UPDATE conversations SET name = :name WHERE case_id = :case AND id = :id AND removed_at IS NULL"
)
_REMOVE = text(
    "UPDATE conversations SET removed_at = coalesce(removed_at, now()), "
    "removed_by = CASE WHEN removed_at IS NULL THEN :actor ELSE removed_by END "
    "WHERE case_id = :case AND id = :id"
)
_LEAVING = text(
    "SELECT case_id, id, removed_by FROM conversations "
    "WHERE removed_at IS NOT NULL ORDER BY removed_at LIMIT 50"
)
_GONE = text(
    "INSERT INTO deleted_questions (machine, case_id) SELECT machine, :case "
    "FROM unnest(CAST(:machines AS text[])) AS of(machine) "
    "WHERE EXISTS (SELECT 1 FROM cases WHERE id = :case) ON CONFLICT DO NOTHING"
)
_DELETE_MACHINES = text("DELETE FROM archived_machines WHERE id = ANY(:machines)")
_DELETE_ARTICLES = text("DELETE FROM articles WHERE query = ANY(:machines)")
_DELETE = text("DELETE FROM conversations WHERE case_id = :case AND id = :id RETURNING id")


@dataclass(frozen=True)
class Found:
    """The turn of a conversation that a search has found."""

    machine: str
    question: str
    answer: str


@dataclass(frozen=True)
class ConversationRow:
    """A conversation; `name` is "" where nobody gave one, `mine` tells whether the visitor asked in it."""

    id: str
    name: str
    question: str
    asker: str
    started_at: float
    last_at: float
    turns: int
    mine: bool
    found: Found | None


@dataclass(frozen=True)
class Leaving:
    """A conversation on its way out."""

    case: str
    id: str
    actor: str


async def note_questions(connection: AsyncConnection, snapshots: Sequence[Snapshot]) -> None:
    """Bring conversations to where their questions are, in the transaction that archives these."""
    ours = [s for s in snapshots if s.kind == "query" and s.topic.startswith("case:")]
    if not ours:
        return
    asked = {
        "machines": [s.id for s in ours],
        "cases": [s.topic.removeprefix("case:") for s in ours],
        "conversations": [s.context["conversation"] or s.id for s in ours],
        "askers": [s.context["asker"] for s in ours],
        "times": [s.context["asked_at"] for s in ours],
        "questions": [s.context["question"] for s in ours],
        "answers": [answer_in_sight(s.context) for s in ours],
        "revisions": [s.revision for s in ours],
        "updates": [s.updated_at for s in ours],
    }
    await connection.execute(_NOTE_CONVERSATIONS, asked)
    await connection.execute(_NOTE_QUESTIONS, asked)


def answer_in_sight(context: Mapping[str, Any]) -> str:
    """The claims of a question's answer that rest on no removed evidence."""
    withheld = set(context.get("withheld", ()))
    claims = (context.get("answer") or {}).get("claims", ())
    return "\n".join(
        claim["text"]
        for claim in claims
        if claim["text"] and not withheld.intersection(c["evidence"] for c in claim["citations"])
    )


class Conversations:
    """Conversations in PostgreSQL; a case's own, so that its id comes with every question."""

    def __init__(self, database: AsyncEngine, journal: CustodyJournal) -> None:
        self._database = database
        self._journal = journal

    async def page(
        self,
        case: str,
        user: str,
        *,
        words: Sequence[str] = (),
        only_mine: bool = False,
        before: Before | None = None,
        limit: int,
    ) -> list[ConversationRow]:
        """Conversations in which every word is found, in a name or in one turn, the latest first."""
        return await self._rows(case, user, "", words, only_mine, before, limit)

    async def get(self, case: str, user: str, conversation: str) -> ConversationRow | None:
        """One conversation; None where there is none, or it is on its way out."""
        return next(iter(await self._rows(case, user, conversation, (), False, None, 1)), None)

    async def machines(self, case: str, conversation: str) -> list[str]:
        """The machines of its questions, in the order in which they were asked."""
        asked = {"case": case, "id": conversation}
        async with self._database.connect() as connection:
            return list((await connection.execute(_MACHINES, asked)).scalars())

    async def rename(self, case: str, conversation: str, name: str) -> bool:
        """Call it otherwise, "" for its first question; whether there is one."""
        async with self._database.begin() as connection:
            asked = {"case": case, "id": conversation, "name": name}
            return bool((await connection.execute(_RENAME, asked)).rowcount)

    async def remove(self, case: str, conversation: str, actor: str) -> bool:
        """Take it out of sight, to be deleted; whether there is one."""
        async with self._database.begin() as connection:
            asked = {"case": case, "id": conversation, "actor": actor}
            return bool((await connection.execute(_REMOVE, asked)).rowcount)

    async def leaving(self) -> list[Leaving]:
        """Conversations that were removed and are not deleted yet."""
        async with self._database.connect() as connection:
            return [Leaving(*row) for row in await connection.execute(_LEAVING)]

    async def complete(self, leaving: Leaving, machines: Sequence[str]) -> None:
        """Delete what the tables hold of it, with the record of that in the custody chain; all or nothing.

        Its machines have left the store before: nobody archives them any more.
        """
        topic = f"case:{leaving.case}"
        asked = {"case": leaving.case, "id": leaving.id, "machines": sorted(machines)}
        async with self._database.begin() as connection:
            await connection.execute(LOCK_TOPIC, {"topic": topic})
            await connection.execute(_GONE, asked)
            await connection.execute(_DELETE_MACHINES, asked)
            await connection.execute(_DELETE_ARTICLES, asked)
            for machine in asked["machines"]:
                await forget_seals(connection, machine, 0)
            if (await connection.execute(_DELETE, asked)).scalar_one_or_none() is not None:
                data = {
                    "what": "conversation deleted",
                    "who": leaving.actor,
                    "why": "",
                    "conversation": leaving.id,
                    "queries": asked["machines"],
                }
                key = f"deletion:{leaving.id}:{token_hex(6)}"
                record = Record(topic, key, "deletion", data, round(time.time(), 3))
                await self._journal.append(connection, [record])

    async def _rows(
        self,
        case: str,
        user: str,
        one: str,
        words: Sequence[str],
        only_mine: bool,
        before: Before | None,
        limit: int,
    ) -> list[ConversationRow]:
        at, after = before if before is not None else (None, "")
        asked = {
            "case": case,
            "user": user,
            "one": one,
            "words": [word.lower() for word in words],
            "searched": bool(words),
            "only_mine": only_mine,
            "at": at,
            "id": after,
            "limit": limit,
        }
        async with self._database.connect() as connection:
            return [_row(row) for row in await connection.execute(_PAGE, asked)]


def _row(row: Any) -> ConversationRow:
    return ConversationRow(
        id=row.id,
        name=row.name,
        question=row.question,
        asker=row.asker,
        started_at=row.started_at,
        last_at=row.last_at,
        turns=row.turns,
        mine=row.mine,
        found=None if row.machine is None else Found(row.machine, row.asked, row.answer),
    )
