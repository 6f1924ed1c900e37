"""How well and how fast near copies are found, on real texts where they are at hand.

Run with `python -m tests.bench.bench_duplicates`; prints Markdown tables. Copies are made of every text:
words changed, the end cut off, a header before it, letters misread; pairs of different texts should not
be linked. datasketch's MinHash, where it is installed, does the same work beside ours, in turns.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text as sql

from gpu.text.minhash import shared
from handlers.near import PICTURE_BITS, NearLinks, is_near, likeness
from handlers.near_text import PLACES, ROWS, bands_of, runs_of, signature_of
from server.services import running_services
from server.settings import Settings
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.migrate import upgrade
from storage.near_copies import NearCopies
from tests.case_rows import new_case, new_evidence

LEAST_WORDS = 50
SIZES = (1000, 10_000)
PICTURES = 100_000
TURNS = 20

_MISREAD = {"e": "c", "l": "1", "O": "0", "o": "0", "m": "rn", "i": "l", "S": "5", "a": "o", "h": "b"}
"""What letters are taken for; others are lost."""


def real_texts(folder: Path) -> dict[str, str]:
    """The texts of mails, text files and PDFs with a text layer, without mail headers."""
    import pymupdf

    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.parts[len(folder.parts)] in ("malformed", "encrypted", "archives"):
            continue
        if path.suffix == ".eml":
            found[str(path)] = mail_body(path)
        elif path.suffix == ".txt":
            found[str(path)] = path.read_text("utf-8", "replace")
        elif path.suffix == ".pdf":
            with pymupdf.open(path) as document:
                found[str(path)] = "\n".join(page.get_text() for page in document)
    return {name: words for name, words in found.items() if len(words.split()) >= LEAST_WORDS}


def mail_body(path: Path) -> str:
    """What a mail says, without its header lines."""
    message = message_from_bytes(path.read_bytes(), policy=default)
    try:
        body = message.get_body(("plain", "html"))
        return str(body.get_content()) if body is not None else ""
    except (LookupError, TypeError, ValueError):  # a charset nobody knows, a header beyond repair
        return ""


def made_up_texts() -> dict[str, str]:
    """Texts of a made-up language, where no real ones are at hand."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abdegiklmnoprstu", k=chance.randint(2, 9))) for _ in range(4000)]
    return {f"text {n}": " ".join(chance.choices(words, k=chance.randint(60, 2000))) for n in range(150)}


def copies(chance: random.Random, vocabulary: Sequence[str]) -> dict[str, Callable[[str], str]]:
    """Ways in which a copy differs from its text."""

    def changed(share: float) -> Callable[[str], str]:
        return lambda words: " ".join(
            chance.choice(vocabulary) if chance.random() < share else word for word in words.split()
        )

    def cut(share: float) -> Callable[[str], str]:
        return lambda words: " ".join(words.split()[: int(len(words.split()) * share)])

    def headed(share: float) -> Callable[[str], str]:
        def make(words: str) -> str:
            count = int(len(words.split()) * share)
            first = chance.randrange(max(1, len(vocabulary) - count))
            return f"{' '.join(vocabulary[first : first + count])} {words}"

        return make

    def misread(share: float) -> Callable[[str], str]:
        return lambda words: "".join(
            _MISREAD.get(letter, "") if chance.random() < share else letter for letter in words
        )

    return {
        "2 % of words changed": changed(0.02),
        "5 % of words changed": changed(0.05),
        "10 % of words changed": changed(0.10),
        "20 % of words changed": changed(0.20),
        "last fifth cut off": cut(0.8),
        "last 40 % cut off": cut(0.6),
        "last 65 % cut off": cut(0.35),
        "header of 30 %": headed(0.3),
        "header of 60 %": headed(0.6),
        "quoted, 150 % around it": headed(1.5),
        "1 % of letters misread": misread(0.01),
        "2 % of letters misread": misread(0.02),
        "4 % of letters misread": misread(0.04),
    }


def quality(texts: dict[str, str]) -> None:
    """Recall on copies that were made; how many pairs of different texts are linked."""
    chance = random.Random(1)
    vocabulary = [word for words in texts.values() for word in words.split()]
    runs = {name: runs_of(words) for name, words in texts.items()}
    bands = {name: set(bands_of(signature_of(found))) for name, found in runs.items()}
    print("| a copy with | median likeness | met in a band | linked |\n|---|---|---|---|")
    for what, make in copies(chance, vocabulary).items():
        scores, met, linked = [], 0, 0
        for name, words in texts.items():
            theirs = runs_of(make(words))
            both = shared(runs[name], theirs)
            score, contained = likeness(both, len(runs[name]), len(theirs))
            meets = bool(bands[name] & set(bands_of(signature_of(theirs))))
            scores.append(score)
            met += meets
            linked += meets and is_near(score, contained)
        count = len(texts)
        print(f"| {what} | {statistics.median(scores):.2f} | {met / count:.1%} | {linked / count:.1%} |")
    names = sorted(runs)
    pairs = [(one, other) for i, one in enumerate(names) for other in names[:i]]
    near, met = 0, 0
    for one, other in pairs:
        both = shared(runs[one], runs[other])
        near += is_near(*likeness(both, len(runs[one]), len(runs[other])))
        met += bool(bands[one] & bands[other])
    print(
        f"\nOf {len(pairs):,} pairs of the {len(names)} texts as they are, {near} are linked"
        f" and {met} are looked at.\n"
    )


def speed(texts: dict[str, str]) -> None:
    """Signatures of all texts, beside datasketch's."""
    made: dict[str, Callable[[str], object]] = {"ours": lambda words: signature_of(runs_of(words))}
    try:
        from datasketch import MinHash
    except ImportError:
        print("datasketch is not installed, so nothing stands beside ours.")
    else:

        def peer(words: str) -> object:
            parts = words.casefold().split()
            minhash = MinHash(num_perm=PLACES)
            minhash.update_batch({" ".join(parts[i : i + 3]).encode() for i in range(max(1, len(parts) - 2))})
            return minhash

        made["datasketch"] = peer
    letters = sum(map(len, texts.values()))
    taken: dict[str, list[float]] = {name: [] for name in made}
    for make in made.values():
        make(next(iter(texts.values())))
    for _ in range(3):
        for name, make in made.items():
            began = time.perf_counter()
            for words in texts.values():
                make(words)
            taken[name].append(time.perf_counter() - began)
    print("| signatures of | characters/s | per text, ms |\n|---|---|---|")
    for name, seconds in taken.items():
        best = min(seconds)
        print(f"| {name} | {letters / best:,.0f} | {1000 * best / len(texts):.2f} |")
    print()


async def linking(database: Any, texts: dict[str, str]) -> None:
    """One more piece of evidence in a case of many: what its linking takes."""
    some = list(texts.values())
    chance = random.Random(2)
    vocabulary = sorted({word for words in some for word in words.split()})
    print("| evidence in the case | linking one more, ms (median) | slowest, ms |\n|---|---|---|")
    for size in SIZES:
        case = await new_case(database, f"case{size}")
        store, near = EvidenceStore(database), NearCopies(database)
        links = NearLinks(store, near)
        for number in range(size):
            words = " ".join(chance.choices(vocabulary, k=300))
            row = await store.register(new_evidence(case, f"{case}-{number}"))
            await store.store_text(row.id, title="", text=words, pages=[], meta={}, chunks=[])
            signature = signature_of(runs_of(words))
            await near.put_text(case, row.id, 298, signature.tobytes(), bands_of(signature))
        async with database.begin() as connection:
            await connection.execute(sql("ANALYZE"))
        taken = []
        for number in range(TURNS):
            words = some[number % len(some)]
            row = await store.register(new_evidence(case, f"{case}-more-{number}"))
            await store.store_text(row.id, title="", text=words, pages=[], meta={}, chunks=[])
            began = time.perf_counter()
            await links.link(row.id)
            taken.append(time.perf_counter() - began)
        print(f"| {size:,} | {1000 * statistics.median(taken):.1f} | {1000 * max(taken):.1f} |", flush=True)
    crowd = await new_case(database, "crowd")
    copies_of = sorted(some, key=len)[len(some) // 2]
    taken = []
    store = EvidenceStore(database)
    links = NearLinks(store, NearCopies(database))
    for number in range(400):
        row = await store.register(new_evidence(crowd, f"crowd-{number}"))
        words = f"{copies_of} number {number}"
        await store.store_text(row.id, title="", text=words, pages=[], meta={}, chunks=[])
        began = time.perf_counter()
        await links.link(row.id)
        taken.append(time.perf_counter() - began)
    print(f"| 400 copies of one text, the last 20 | {1000 * statistics.median(taken[-20:]):.1f} |"
          f" {1000 * max(taken):.1f} |\n")  # fmt: skip


async def pictures(database: Any) -> None:
    """The search among the hashes of many pictures of a case."""
    case = await new_case(database, "pictures")
    store, near = EvidenceStore(database), NearCopies(database)
    mine = (await store.register(new_evidence(case, "picture"))).id
    async with database.begin() as connection:
        await connection.execute(
            sql(
                "INSERT INTO evidence (case_id, upload, filename, title, sha256, bytes, media_type, meta,"
                " text, pages, summary, tags, uploaded_by) SELECT :case, '', '', '', 'p' || n, 1,"
                " 'image/png', '{}', '', '[]', '[]', '[]', '' FROM generate_series(1, :count) AS n"
            ),
            {"case": case, "count": PICTURES},
        )
        await connection.execute(
            sql(
                "INSERT INTO picture_hashes SELECT id, :case, (random() * 2 - 1) * 9223372036854775000"
                " FROM evidence WHERE case_id = :case AND id <> :mine"
            ),
            {"case": case, "mine": mine},
        )
    taken = []
    for _ in range(TURNS):
        began = time.perf_counter()
        await near.alike_pictures(case, mine, 0x1A3C5F017B2D4E68, most=PICTURE_BITS, limit=100)
        taken.append(time.perf_counter() - began)
    print(f"{PICTURES:,} pictures are searched in {1000 * statistics.median(taken):.1f} ms.\n")


async def main() -> None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "documents"
    texts = real_texts(folder) if folder.is_dir() else made_up_texts()
    letters = sum(map(len, texts.values()))
    print(f"{len(texts)} {'real' if folder.is_dir() else 'made-up'} texts, {letters:,} characters;"
          f" runs of 3 words, {PLACES} places in bands of {ROWS}.\n")  # fmt: skip
    quality(texts)
    speed(texts)
    with tempfile.TemporaryDirectory(prefix="casewire-bench-", dir="/tmp") as data:
        settings = Settings(data=Path(data), redis_url=None, queue_url=None, database_url=None)
        async with running_services(settings) as services:
            await upgrade(services.database_url)
            database = create_engine(services.database_url)
            await linking(database, texts)
            await pictures(database)
            await database.dispose()


if __name__ == "__main__":
    np.seterr(over="ignore")
    asyncio.run(main())
