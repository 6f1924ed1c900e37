"""Evidence of a case: one row a file, its text, and the chunks that the text is cut into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Table, cast, delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.departed import check_departed
from storage.schema import Evidence
from storage.sight import Sight, hidden_around, hidden_of, hide, lock_sight, settle, within
from storage.unknown import UnknownEvidence as UnknownEvidence

_tables = Evidence.metadata.tables
EVIDENCE: Table = _tables["evidence"]
MEMBERS: Table = _tables["topic_members"]
CHUNKS: Table = _tables["chunks"]
EDITS: Table = _tables["edits"]

_COLUMNS = [column for column in EVIDENCE.c if column.name != "text"]


@dataclass(frozen=True)
class EvidenceRow:
    """All of a piece of evidence but its text.

    Attributes:
        pages: `[start, end]` of each page in the text; empty where the source has no pages.
        summary: `{text, start, end, page}` of each sentence; all numbers 0 where a person wrote it.
        tag_confidence: How sure the newest run was of each tag that it found, 0 to 1.
        tagger: Version of the tagger of that run, 0 before there were versions.
        edited: `title`, `summary` or `tags` → version, for those that a person wrote.
        hidden_at: Since when it is out of sight, removed or inside of what is; None where it is not.
        removed_at: Since when it waits to be deleted by its own removal; None where it does not.
    """

    id: int
    case_id: str
    parent_id: int | None
    upload: str
    filename: str
    title: str
    sha256: str
    bytes: int
    media_type: str
    meta: dict[str, Any]
    pages: list[list[int]]
    summary: list[dict[str, Any]]
    tags: list[str]
    tag_confidence: dict[str, float]
    tagger: int
    edited: dict[str, int]
    uploaded_by: str
    created_at: datetime
    hidden_at: datetime | None
    removed_at: datetime | None


@dataclass(frozen=True)
class NewEvidence:
    """What is known of a file before it is read; `parent_id` is the evidence it was found in."""

    case_id: str
    sha256: str
    upload: str
    filename: str
    title: str
    bytes: int
    media_type: str
    uploaded_by: str
    parent_id: int | None = None


@dataclass(frozen=True)
class Registered:
    """Which evidence holds the bytes: `upload` is the machine that brought it, perhaps another one."""

    id: int
    upload: str
    title: str


@dataclass(frozen=True)
class ChunkDraft:
    """A chunk before it has an id: characters `start`..`end` of the text, on `page` (0: no pages)."""

    ordinal: int
    page: int
    start: int
    end: int
    text: str
    boxes: list[list[float]]


@dataclass(frozen=True)
class ChunkRow:
    """A chunk as it is stored."""

    id: int
    evidence_id: int
    ordinal: int
    page: int
    start: int
    end: int
    text: str
    boxes: list[list[float]]


class EvidenceStore:
    """Evidence in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def register(self, new: NewEvidence) -> Registered:
        """Store a file as evidence of its case, or find the one of the same bytes there; safe in a race.

        What was found in hidden evidence is hidden, too.

        Raises:
            Departed: The upload was cancelled or deleted meanwhile, or the one of the evidence it was
                found in; nothing was stored.
            UnknownEvidence: What it was found in is gone.
        """
        values = asdict(new) | {"meta": {}, "pages": [], "summary": [], "tags": [], "edited": {}, "text": ""}
        values |= {"tag_confidence": {}, "tagger": 0}
        result = (EVIDENCE.c.id, EVIDENCE.c.upload, EVIDENCE.c.title)
        async with self._database.begin() as connection:
            await check_departed(connection, new.upload)
            hidden_at = None
            if new.parent_id is not None:
                hidden_at = await hidden_around(connection, new.case_id, new.parent_id)
            row = (
                await connection.execute(
                    upsert(EVIDENCE)
                    .values(values | {"hidden_at": hidden_at})
                    .on_conflict_do_nothing(index_elements=["case_id", "sha256"])
                    .returning(*result)
                )
            ).one_or_none()
            if row is None:
                there = select(*result).where(
                    EVIDENCE.c.case_id == new.case_id, EVIDENCE.c.sha256 == new.sha256
                )
                row = (await connection.execute(there)).one()
        return Registered(*row)

    async def take_over(self, evidence: int, new: NewEvidence, *, instead_of: str) -> bool:
        """Hand evidence to the upload that brought its bytes anew; False where a third one was faster.

        It is removed no longer, and found where that upload found it. What it was found in again
        itself, as a file that unpacks to itself, brings nothing anew.

        Raises:
            Departed: It is being deleted, and cannot be kept any more.
        """
        query = (
            update(EVIDENCE)
            .where(EVIDENCE.c.id == evidence, EVIDENCE.c.upload == instead_of)
            .values(upload=new.upload, parent_id=new.parent_id, filename=new.filename, removed_at=None)
        )
        async with self._database.begin() as connection:
            await check_departed(connection, instead_of)
            await lock_sight(connection, new.case_id)
            if new.parent_id in await within(connection, evidence):
                return False
            if not (await connection.execute(query)).rowcount:
                return False
            await settle(connection, evidence)
            return True

    async def get(self, evidence: int) -> EvidenceRow:
        """One piece of evidence.

        Raises:
            UnknownEvidence: There is none of that id.
        """
        async with self._database.connect() as connection:
            row = (
                await connection.execute(select(*_COLUMNS).where(EVIDENCE.c.id == evidence))
            ).mappings().one_or_none()  # fmt: skip
        if row is None:
            raise UnknownEvidence(evidence)
        return EvidenceRow(**row)

    async def text(self, evidence: int) -> str:
        """The whole extracted text.

        Raises:
            UnknownEvidence: There is none of that id.
        """
        async with self._database.connect() as connection:
            text: str | None = await connection.scalar(
                select(EVIDENCE.c.text).where(EVIDENCE.c.id == evidence)
            )
        if text is None:
            raise UnknownEvidence(evidence)
        return text

    async def of_case(
        self,
        case: str,
        *,
        after: int = 0,
        limit: int = 100,
        words: str = "",
        parent: int = 0,
        topic: int = 0,
        hidden: bool = False,
    ) -> list[EvidenceRow]:
        """The evidence of a case in the order of ids, those above `after`; or what was removed, by itself.

        With `words`, only that whose title, filename or tags hold them, in whatever case; with `parent`,
        only what was found in that evidence; with `topic`, only what is in that topic.
        """
        seen = EVIDENCE.c.removed_at.is_not(None) if hidden else EVIDENCE.c.hidden_at.is_(None)
        query = (
            select(*_COLUMNS)
            .where(EVIDENCE.c.case_id == case, EVIDENCE.c.id > after, seen)
            .order_by(EVIDENCE.c.id)
            .limit(limit)
        )
        if parent:
            query = query.where(EVIDENCE.c.parent_id == parent)
        if topic:
            of_topic = select(MEMBERS.c.evidence_id).where(MEMBERS.c.topic_id == topic)
            query = query.where(EVIDENCE.c.id.in_(of_topic))
        if words:
            tag = func.jsonb_array_elements_text(EVIDENCE.c.tags).table_valued("value").alias("tag")
            tagged = select(literal(1)).select_from(tag).where(tag.c.value.icontains(words, autoescape=True))
            query = query.where(
                or_(
                    EVIDENCE.c.title.icontains(words, autoescape=True),
                    EVIDENCE.c.filename.icontains(words, autoescape=True),
                    tagged.exists(),
                )
            )
        async with self._database.connect() as connection:
            return [EvidenceRow(**row) for row in (await connection.execute(query)).mappings()]

    async def depth(self, evidence: int) -> int:
        """How many pieces of evidence it is nested in: 0 for one that was uploaded by itself."""
        above = (
            select(EVIDENCE.c.parent_id, literal(0).label("depth"))
            .where(EVIDENCE.c.id == evidence)
            .cte(recursive=True)
        )
        above = above.union_all(
            select(EVIDENCE.c.parent_id, above.c.depth + 1).where(EVIDENCE.c.id == above.c.parent_id)
        )
        async with self._database.connect() as connection:
            return int(
                (await connection.execute(select(func.coalesce(func.max(above.c.depth), 0)))).scalar_one()
            )

    async def unpacked(self, evidence: int) -> tuple[int, int]:
        """How many files and bytes have come out of the upload that it stems from, itself left aside."""
        above = select(EVIDENCE.c.id, EVIDENCE.c.parent_id).where(EVIDENCE.c.id == evidence)
        up = above.cte("up", recursive=True)
        up = up.union_all(select(EVIDENCE.c.id, EVIDENCE.c.parent_id).where(EVIDENCE.c.id == up.c.parent_id))
        tree = select(up.c.id).where(up.c.parent_id.is_(None)).cte("tree", recursive=True)
        tree = tree.union_all(select(EVIDENCE.c.id).where(EVIDENCE.c.parent_id == tree.c.id))
        held = EVIDENCE.c.meta["unpacked"]
        files, size = (func.sum(cast(held[key].astext, BigInteger)) for key in ("files", "bytes"))
        query = (
            select(func.coalesce(files, 0), func.coalesce(size, 0))
            .join(tree, tree.c.id == EVIDENCE.c.id)
            .where(EVIDENCE.c.id != evidence)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one()
        return int(row[0]), int(row[1])

    async def store_text(
        self,
        evidence: int,
        *,
        title: str,
        text: str,
        pages: Sequence[tuple[int, int]],
        meta: dict[str, Any],
        chunks: Sequence[ChunkDraft],
    ) -> None:
        """Store what was read, all or nothing; the same chunks again keep their ids, vectors and words.

        A title that a person wrote stays.

        Raises:
            UnknownEvidence: There is none of that id.
        """
        where = CHUNKS.c.evidence_id == evidence
        async with self._database.begin() as connection:
            case: str | None = await connection.scalar(
                update(EVIDENCE)
                .where(EVIDENCE.c.id == evidence)
                .values(text=text, pages=[list(page) for page in pages], meta=meta)
                .returning(EVIDENCE.c.case_id)
            )
            if case is None:
                raise UnknownEvidence(evidence)
            await _put_found(connection, evidence, "title", title)
            columns = (CHUNKS.c.ordinal, CHUNKS.c.page, CHUNKS.c.start, CHUNKS.c.end, CHUNKS.c.text)
            there = await connection.execute(select(*columns).where(where).order_by(CHUNKS.c.ordinal))
            wanted = [(c.ordinal, c.page, c.start, c.end, c.text) for c in chunks]
            if [tuple(row) for row in there] == wanted:
                return
            await connection.execute(delete(CHUNKS).where(where))
            if chunks:
                rows = [asdict(c) | {"case_id": case, "evidence_id": evidence} for c in chunks]
                await connection.execute(insert(CHUNKS), rows)

    async def chunks(self, evidence: int) -> list[ChunkRow]:
        """The chunks in the order of the text."""
        columns = [CHUNKS.c[name] for name in ChunkRow.__dataclass_fields__]
        query = select(*columns).where(CHUNKS.c.evidence_id == evidence).order_by(CHUNKS.c.ordinal)
        async with self._database.connect() as connection:
            return [ChunkRow(**row) for row in (await connection.execute(query)).mappings()]

    async def set_tags(
        self, evidence: int, tags: Sequence[str], *, confidence: Mapping[str, float], tagger: int
    ) -> None:
        """Replace the tags that a run has found; those that a person wrote stay.

        Args:
            confidence: How sure the run is of each, 0 to 1.
            tagger: Version of what found them.
        """
        told = update(EVIDENCE).where(EVIDENCE.c.id == evidence)
        async with self._database.begin() as connection:
            await _put_found(connection, evidence, "tags", list(tags))
            await connection.execute(told.values(tag_confidence=dict(confidence), tagger=tagger))

    async def set_summary(self, evidence: int, sentences: Sequence[dict[str, Any]]) -> None:
        """Replace the summary that a run has found, as `set_tags`; sentences as in `EvidenceRow`."""
        await self._set(evidence, "summary", list(sentences))

    async def tags_of_case(self, case: str, *, limit: int = 500) -> list[tuple[str, int]]:
        """The tags of a case with how much evidence has them, the most frequent first, ties by tag."""
        tag = func.jsonb_array_elements_text(EVIDENCE.c.tags).table_valued("value").alias("tag")
        count = func.count(EVIDENCE.c.id.distinct())
        query = (
            select(tag.c.value, count)
            .select_from(EVIDENCE)
            .join(tag, literal(True))
            .where(EVIDENCE.c.case_id == case, EVIDENCE.c.hidden_at.is_(None))
            .group_by(tag.c.value)
            .order_by(count.desc(), tag.c.value)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [(row[0], row[1]) for row in await connection.execute(query)]

    async def hide(self, evidence: int, upload: str, *, hidden: bool) -> Sight | None:
        """Take evidence with all that was found in it alone out of every search and list, or bring it back.

        What was removed by itself does not come back with what it was found in, and nothing comes back
        into what is still removed.

        Returns:
            The evidence and what may be found in it; None where the upload does not hold it (any more).
        """
        async with self._database.begin() as connection:
            return await hide(connection, evidence, upload, hidden=hidden)

    async def hidden(self, evidence: Sequence[int]) -> dict[int, bool]:
        """Whether they are hidden, by id; those that are gone are left out."""
        async with self._database.connect() as connection:
            return await hidden_of(connection, evidence)

    async def _set(self, evidence: int, part: str, value: Any) -> None:
        async with self._database.begin() as connection:
            await _put_found(connection, evidence, part, value)


async def keep_found(connection: AsyncConnection, evidence: int, part: str, value: Any) -> None:
    """Keep what a run has found as version 0 of a part that a person has edited, or is about to."""
    query = upsert(EDITS).values(evidence_id=evidence, part=part, version=0, value=value, user_id="")
    query = query.on_conflict_do_update(
        index_elements=["evidence_id", "part", "version"],
        set_={"value": query.excluded.value, "at": func.now()},
    )
    await connection.execute(query)


async def _put_found(connection: AsyncConnection, evidence: int, part: str, value: Any) -> None:
    """Show what a run has found, unless a person wrote something else, under which it is then kept.

    Raises:
        UnknownEvidence: There is none of that id.
    """
    # The row is locked by this, and an edit locks it too: neither can pass the other.
    locked = select(EVIDENCE.c.edited).where(EVIDENCE.c.id == evidence).with_for_update()
    edited: dict[str, int] | None = await connection.scalar(locked)
    if edited is None:
        raise UnknownEvidence(evidence)
    if part in edited:
        await keep_found(connection, evidence, part, value)
    else:
        await connection.execute(update(EVIDENCE).where(EVIDENCE.c.id == evidence).values({part: value}))
