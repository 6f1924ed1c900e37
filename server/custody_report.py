"""The custody report of a piece of evidence: gathered from chains, tables and heads, and checked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.custody_report import (
    CustodyReport,
    Deletion,
    Person,
    ReportedFile,
    State,
    chain_of,
    event_of,
    moment,
    person,
)
from handlers.paper import Paper
from server.runtime import custody_folder
from server.services import attached_services
from server.settings import Settings
from storage.custody_heads import CustodyHeads, Head, HeadsError, hex_of, pem_of
from storage.custody_rows import CustodyRow, CustodyRows
from storage.database import create_engine
from storage.departures import Departure, Departures
from storage.evidence import EvidenceRow, EvidenceStore, UnknownEvidence
from storage.journal import CustodyJournal


class NoRecords(Exception):
    """There never was such evidence, or none that a chain tells of."""

    def __init__(self, evidence: int) -> None:
        super().__init__(f"no record tells of evidence {evidence}")


@dataclass(frozen=True)
class Subject:
    """Evidence that is, or was: its row, or what its tombstone tells."""

    evidence: int
    case: str
    upload: str
    row: EvidenceRow | None
    gone: Departure | None


class Reports:
    """Reports of one instance.

    Args:
        signs: Whether this process signs heads, as the servers of an instance do.
    """

    def __init__(
        self, database: AsyncEngine, journal: CustodyJournal, heads: CustodyHeads, *, signs: bool
    ) -> None:
        self._signs = signs
        self._journal = journal
        self._heads = heads
        self._rows = CustodyRows(database)
        self._evidence = EvidenceStore(database)
        self._departures = Departures(database, journal)

    async def subject(self, evidence: int) -> Subject:
        """What a report would be about.

        Raises:
            NoRecords: Nothing of that number is or was there.
        """
        gone = await self._departures.of_evidence(evidence)
        try:
            row = await self._evidence.get(evidence)
            return Subject(evidence, row.case_id, row.upload, row, None)
        except UnknownEvidence as error:
            if gone is None:
                raise NoRecords(evidence) from error
            return Subject(evidence, gone.case, gone.upload, None, gone)

    async def make(self, subject: Subject, who: str, *, removed: bool = True) -> CustodyReport:
        """The report, whose last record is that it was made.

        Args:
            removed: Whether it may name removed evidence that was found in this one.
        """
        case_topic = f"case:{subject.case}"
        await self._journal.record_access(case_topic, who, "report", subject.evidence)
        topics = {case_topic, await self._topic_of(subject)}
        rows = await self._rows.about(sorted(topics), subject.upload, subject.evidence)
        heads, public = await asyncio.to_thread(self._signed)
        verdicts = [await self._journal.verify(topic, _of(topic, heads)) for topic in sorted(topics)]
        unsigned = {v.topic: (v.rows, v.last) for v in verdicts if v.ok and v.signed_to < v.rows}
        if self._signs and unsigned:
            # Signed as it was just seen to be whole, so that the report vouches for its last record, too.
            await asyncio.to_thread(self._heads.sign, unsigned)
            heads, public = await asyncio.to_thread(self._signed)
            verdicts = [replace(v, signed_to=v.rows) if v.topic in unsigned else v for v in verdicts]
        names = await self._rows.names([*_people(rows), who, *_uploaders(subject)])
        pem, public_hex = public
        return {
            "evidence": subject.evidence,
            "case": subject.case,
            "upload": subject.upload,
            "state": _state(subject),
            "made_at": moment(time.time()),
            "made_by": person(who, names),
            "file": await self._file(subject, names, removed),
            "deletion": _deletion(subject, rows, names),
            "events": [event_of(row, names) for row in rows],
            "chains": [
                chain_of(v, _of(v.topic, heads), public_hex) for v in verdicts if v.rows or v.problems
            ],
            "public_key": pem,
        }

    async def _topic_of(self, subject: Subject) -> str:
        if subject.gone is not None:
            return subject.gone.topic
        return await self._rows.topic_of(subject.upload) or f"case:{subject.case}"

    def _signed(self) -> tuple[list[Head], tuple[str, str]]:
        try:
            heads = self._heads.read()
            public = self._heads.public_key()
        except HeadsError:  # nothing was signed yet
            return [], ("", "")
        return heads, (pem_of(public), hex_of(public))

    async def _file(self, subject: Subject, names: dict[str, str], removed: bool) -> ReportedFile:
        row, gone = subject.row, subject.gone
        if row is not None:
            parent, children = row.parent_id or 0, await self._rows.children(row.id, removed=removed)
            return {
                "filename": row.filename,
                "title": row.title,
                "sha256": row.sha256,
                "bytes": row.bytes,
                "media_type": row.media_type,
                "uploaded_by": person(row.uploaded_by, names),
                "uploaded_at": moment(row.created_at),
                "parent": {"evidence": parent, "filename": await self._name(parent)} if parent else None,
                "children": [{"evidence": child, "filename": name} for child, name in children],
            }
        assert gone is not None
        facts = gone.facts
        parent = int(facts.get("parent", 0))
        inside = await self._departures.within(gone)
        return {
            "filename": str(facts.get("filename", "")),
            "title": "",
            "sha256": str(facts.get("sha256", "")),
            "bytes": int(facts.get("bytes", 0)),
            "media_type": str(facts.get("media_type", "")),
            "uploaded_by": person(str(facts.get("uploaded_by", "")), names),
            "uploaded_at": str(facts.get("uploaded_at", ""))[:23].replace("T", " "),
            "parent": {"evidence": parent, "filename": await self._name(parent)} if parent else None,
            "children": [
                {"evidence": child.evidence, "filename": str(child.facts.get("filename", ""))}
                for child in inside
            ],
        }

    async def _name(self, evidence: int) -> str:
        gone = await self._departures.of_evidence(evidence)
        return await self._rows.filename(evidence) or (str(gone.facts.get("filename", "")) if gone else "")


async def report_from_outside(settings: Settings, evidence: int, *, form: str, who: str) -> bytes:
    """The report as `json` or `pdf`, for the command line.

    Raises:
        NoRecords: See there.
        ServicesError: No server runs on the data folder and no database is configured.
        PaperError: It could not be laid out.
    """
    services = attached_services(settings)
    database = create_engine(services.database_url, pool_size=2)
    try:
        reports = Reports(database, CustodyJournal(database), custody_folder(services), signs=False)
        report = await reports.make(await reports.subject(evidence), who)
    finally:
        await database.dispose()
    if form == "pdf":
        return await Paper().pdf(report)
    return orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n"


def _of(topic: str, heads: list[Head]) -> list[Head]:
    return [head for head in heads if head.topic == topic]


def _people(rows: list[CustodyRow]) -> set[str]:
    return {str(row.data.get("actor", row.data.get("who", ""))) for row in rows}


def _uploaders(subject: Subject) -> list[str]:
    if subject.row is not None:
        return [subject.row.uploaded_by]
    assert subject.gone is not None
    return [str(subject.gone.facts.get("uploaded_by", "")), subject.gone.actor]


def _state(subject: Subject) -> State:
    if subject.row is None:
        return "deleted"
    return "present" if subject.row.hidden_at is None else "removed"


def _deletion(subject: Subject, rows: list[CustodyRow], names: dict[str, str]) -> Deletion | None:
    gone = subject.gone
    if gone is None:
        return None
    at = next((row.at for row in rows if row.what == "deletion"), gone.at)
    who: Person = person(gone.actor, names)
    return {"who": who, "why": gone.reason, "at": moment(at)}
