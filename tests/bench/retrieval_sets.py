"""Public retrieval sets as cases in the real tables, with vectors kept from run to run.

The sets lie in the folder named by CASEWIRE_RETRIEVAL, or beside the project. Cranfield is never
tuned on: a control.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.entities import entities as find_entities
from handlers.index import FLOOR, NEIGHBOURS
from handlers.minilm import MiniLM
from handlers.poi_names import PoiNames
from handlers.terms import counts, fold
from storage.entities import Entities, MentionDraft
from storage.schema import SQLModel
from storage.similarities import Similarities
from storage.vectors_pgvector import PgVectors
from storage.words import Words

TABLES = SQLModel.metadata.tables
ROOT = Path(__file__).parents[2]
WORD = re.compile(r"[^\W_]+")


@dataclass
class Source:
    """A piece of evidence: its passages in order, and what each of them names."""

    title: str
    passages: list[str]
    named: list[set[str]] = field(default_factory=list)
    facts: list[list[list[str]]] = field(default_factory=list)
    """Of each passage the supplied triples: subject, predicate, object."""


@dataclass
class Question:
    """A question to one case; gold passages are `(source, passage)` positions in the case."""

    text: str
    case: str
    gold: set[tuple[int, int]]


@dataclass
class RetrievalSet:
    """`by_rules`: names are found in the passages by the rules of `handlers.entities`, none is supplied."""

    name: str
    cases: dict[str, list[Source]]
    questions: list[Question]
    by_rules: bool = True


def folder() -> Path | None:
    """Where the sets lie; None where they are absent."""
    found = Path(os.environ.get("CASEWIRE_RETRIEVAL") or ROOT.parent / "shared" / "retrieval")
    return found if found.is_dir() else None


def musique(root: Path) -> RetrievalSet:
    """Multi-hop questions over passages, with the supplied entities."""
    root = root / "musique-train100"
    corpus = json.loads((root / "musique_train_corpus.json").read_text(encoding="utf-8"))
    read = json.loads(next(root.glob("openie_*.json")).read_text(encoding="utf-8"))["docs"]
    named = {(doc["title"], doc["text"]): set(doc["extracted_entities"]) for doc in read}
    facts = {(doc["title"], doc["text"]): doc["extracted_triples"] for doc in read}
    place = {(doc["title"], doc["text"]): i for i, doc in enumerate(corpus)}
    sources = [
        Source(
            doc["title"],
            [f"{doc['title']}\n{doc['text']}"],
            [named.get((doc["title"], doc["text"]), set())],
            [facts.get((doc["title"], doc["text"]), [])],
        )
        for doc in corpus
    ]
    questions = [
        Question(
            asked["question"],
            "musique",
            {(place[p["title"], p["paragraph_text"]], 0) for p in asked["paragraphs"] if p["is_supporting"]},
        )
        for asked in json.loads((root / "musique_train.json").read_text(encoding="utf-8"))
    ]
    return RetrievalSet("musique-train100, supplied names", {"musique": sources}, questions, by_rules=False)


def musique_by_rules(root: Path) -> RetrievalSet:
    """The same, with the names that everybody gets who has no language model."""
    supplied = musique(root)
    return RetrievalSet("musique-train100, names by rules", supplied.cases, supplied.questions)


def contractnli(root: Path) -> RetrievalSet:
    """Hypotheses about an agreement; its annotated spans are gold, the agreement is the case."""
    read = json.loads((root / "contractnli" / "dev.json").read_text(encoding="utf-8"))
    cases: dict[str, list[Source]] = {}
    questions = []
    for document in read["documents"]:
        case = f"nda-{document['id']}"
        spans = [document["text"][start:end] for start, end in document["spans"]]
        cases[case] = [Source(document["file_name"], spans)]
        for label, annotation in document["annotation_sets"][0]["annotations"].items():
            if annotation["spans"]:
                gold = {(0, span) for span in annotation["spans"]}
                questions.append(Question(read["labels"][label]["hypothesis"], case, gold))
    return RetrievalSet("contractnli dev, within the agreement", cases, questions)


def cranfield(root: Path) -> RetrievalSet:
    """Abstracts without names: a control."""
    root = root / "cranfield"
    abstracts = ET.fromstring(f"<all>{(root / 'cran.all.1400.xml').read_text(encoding='utf-8')}</all>").iter(
        "doc"
    )
    sources, place = [], {}
    for document in abstracts:
        number = (document.findtext("docno") or "").strip()
        place[number] = len(sources)
        title = " ".join((document.findtext("title") or "").split())
        sources.append(Source(title, [document.findtext("text") or title]))
    gold: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for line in (root / "cranqrel.trec.txt").read_text(encoding="utf-8").splitlines():
        query, _, document, grade = line.split()
        if int(grade) > 0 and document in place:
            gold[int(query)].add((place[document], 0))
    asked = ET.parse(root / "cran.qry.xml").iter("top")
    questions = [
        Question(" ".join((top.findtext("title") or "").split()), "cranfield", gold[i])
        for i, top in enumerate(asked, 1)
        if gold[i]
    ]
    return RetrievalSet("cranfield", {"cranfield": sources}, questions)


SETS = {"musique": musique, "rules": musique_by_rules, "contractnli": contractnli, "cranfield": cranfield}


class CachedEncoder:
    """MiniLM whose vectors are kept in the temporary folder, by text."""

    def __init__(self) -> None:
        self._model: MiniLM | None = None
        self._folder = Path(tempfile.gettempdir()) / "casewire-bench"
        self._folder.mkdir(exist_ok=True)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        key = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        path = self._folder / f"{key}.npy"
        if path.exists():
            return np.load(path)
        self._model = self._model or MiniLM("cpu")
        vectors = self._model.encode(texts)
        np.save(path, vectors)
        return vectors


async def load(
    database: AsyncEngine, case: str, sources: Sequence[Source], encoder: CachedEncoder, *, by_rules: bool
) -> dict[tuple[int, int], int]:
    """Put a case into the tables; returns the chunk id of each (source, passage)."""
    async with database.begin() as connection:
        await connection.execute(
            insert(TABLES["cases"]), {"id": case, "title": case, "machine": "", "description": ""}
        )
    ids: dict[tuple[int, int], int] = {}
    texts: dict[int, str] = {}
    async with database.begin() as connection:
        for i, source in enumerate(sources):
            evidence = await connection.scalar(
                insert(TABLES["evidence"]).returning(TABLES["evidence"].c.id),
                {
                    "case_id": case, "upload": "", "filename": source.title, "title": source.title,
                    "sha256": f"{i:064x}", "bytes": 0, "media_type": "text/plain", "uploaded_by": "",
                    "text": "\n".join(source.passages), "meta": {}, "pages": [], "summary": [], "tags": [],
                },
            )  # fmt: skip
            start = 0
            for j, passage in enumerate(source.passages):
                chunk = {
                    "case_id": case, "evidence_id": evidence, "ordinal": j, "page": 0, "start": start,
                    "end": start + len(passage), "boxes": [], "text": passage,
                }  # fmt: skip
                statement = insert(TABLES["chunks"]).returning(TABLES["chunks"].c.id)
                ids[i, j] = int(await connection.scalar(statement, chunk))
                texts[ids[i, j]] = passage
                start += len(passage) + 1
    vectors = PgVectors(database)
    encoded = encoder.encode(list(texts.values()))
    await vectors.put(case, dict(zip(texts, encoded, strict=True)))
    await Words(database).index(case, {chunk: counts(passage) for chunk, passage in texts.items()})
    await Similarities(database).put(case, await vectors.neighbours(case, list(texts), NEIGHBOURS, FLOOR))
    if by_rules:
        await _find_names(database, case, texts)
    else:
        named = ((ids[i, j], n) for i, s in enumerate(sources) for j, n in enumerate(s.named))
        await _mention(database, case, named)
    return ids


async def _find_names(database: AsyncEngine, case: str, texts: Mapping[int, str]) -> None:
    """The names that the rules find, each passage read by itself."""
    nobody, entities = PoiNames([]), Entities(database)
    of_evidence: dict[int, list[MentionDraft]] = defaultdict(list)
    async with database.connect() as connection:
        columns = TABLES["chunks"].c
        places = {
            row.id: (row.evidence_id, row.start)
            for row in await connection.execute(
                select(columns.id, columns.evidence_id, columns.start).where(columns.case_id == case)
            )
        }
    for chunk, passage in texts.items():
        evidence, start = places[chunk]
        of_evidence[evidence] += [
            MentionDraft(one.kind, one.key, one.name, chunk, start + one.start, start + one.end)
            for one in find_entities(passage, nobody)
        ]
    for evidence, mentions in of_evidence.items():
        await entities.replace(case, evidence, mentions, pois=[])


async def _mention(database: AsyncEngine, case: str, named: Iterable[tuple[int, set[str]]]) -> None:
    """The supplied names as entities; where a name stands in its passage is not told."""
    entities: dict[str, str] = {}
    mentions: list[tuple[int, str]] = []
    for chunk, names in named:
        forms = {" ".join(WORD.findall(fold(name))): name for name in sorted(names)}
        for form, name in sorted(forms.items()):
            if form:
                entities.setdefault(form, name)
                mentions.append((chunk, form))
    if not entities:
        return
    async with database.begin() as connection:
        rows = [
            {"case_id": case, "kind": "organisation", "key": form, "name": name, "status": "suggested"}
            for form, name in sorted(entities.items())
        ]
        await connection.execute(insert(TABLES["entities"]), rows)
        columns = TABLES["entities"].c
        known = {
            row.key: row.id
            for row in await connection.execute(
                TABLES["entities"]
                .select()
                .with_only_columns(columns.key, columns.id)
                .where(columns.case_id == case)
            )
        }
        places = [
            {"chunk_id": chunk, "entity_id": known[form], "start": i, "end": i + 1}
            for i, (chunk, form) in enumerate(mentions)
        ]
        await connection.execute(insert(TABLES["mentions"]), places)
