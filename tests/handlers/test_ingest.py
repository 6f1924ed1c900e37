"""From bytes in the store to text, chunks, vectors and neighbours in the database."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gpu import Leases
from handlers.adopt import Adoption
from handlers.embed import BATCH, embed_chunks
from handlers.extract import MAX_NESTING, ROOM, extract_text
from handlers.index import index_chunks
from handlers.job import Cancelled, Permanent
from handlers.near import NearLinks
from handlers.reading import Room
from handlers.sandbox import Sandbox
from machines.upload_events import EmbedChunks, Extracted, ExtractText, IndexChunks, NeedsPassword
from server.engine import Engine
from storage.arrivals import Arrivals
from storage.blobs_disk import DiskBlobs
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.machine_store_redis import RedisMachineStore
from storage.near_copies import NearCopies
from storage.similarities import Similarities
from storage.vectors_pgvector import PgVectors
from storage.words import Words
from tests.case_rows import QuietJob, new_case, new_evidence, store, unit
from tests.handlers import files
from tests.patience import PATIENCE_S


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


class Place:
    """A case with a blob store, a sandbox, and machines in Redis."""

    def __init__(self, database: AsyncEngine, redis: Redis, folder: Path) -> None:
        self.evidence = EvidenceStore(database)
        self.near = NearLinks(self.evidence, NearCopies(database))
        self.blobs = DiskBlobs(folder)
        self.arrivals = Arrivals(database, self.blobs)
        self.store = RedisMachineStore(redis, shards=4, era="e")
        self.machines = Engine(self.store, shards=4)
        self.sandbox = Sandbox(memory_bytes=512 << 20, time_s=PATIENCE_S)
        self.passwords: dict[str, str] = {}

    async def put(self, content: bytes, media_type: str, filename: str, parent: int | None = None) -> int:
        writer = self.blobs.open_writer()
        writer.write(content)
        sha256, _ = writer.commit()
        new = new_evidence("case1", sha256, media_type=media_type, filename=filename, parent_id=parent)
        return (await self.evidence.register(new)).id

    async def extract(
        self, evidence: int, secret: str = "", job: QuietJob | None = None, room: Room = ROOM
    ) -> Extracted | NeedsPassword:
        async def password(name: str) -> str:
            return self.passwords.get(name, "")

        return await extract_text(
            ExtractText(evidence, secret, "u1"),
            job or QuietJob(),
            evidence=self.evidence,
            blobs=self.blobs,
            arrivals=self.arrivals,
            reader=self.sandbox,
            password=password,
            adopt=Adoption(self.machines),
            near=self.near,
            room=room,
        )


@pytest_asyncio.fixture(loop_scope="session")
async def place(engine: AsyncEngine, redis_client: Redis, tmp_path: Path) -> AsyncIterator[Place]:
    await new_case(engine)
    place = Place(engine, redis_client, tmp_path / "blobs")
    yield place
    await place.sandbox.aclose()


async def test_a_pdf_becomes_text_pages_and_chunks_with_exact_places(place: Place, tmp_path: Path) -> None:
    pages = [[f"Line {i} of sheet {p} goes on and on." for i in range(30)] for p in (1, 2, 3)]
    path = files.pdf(tmp_path / "a.pdf", *pages, title="Three Sheets")
    one = await place.put(path.read_bytes(), "application/pdf", "a.pdf")
    found = await place.extract(one)
    assert isinstance(found, Extracted)
    row, whole, chunks = (
        await place.evidence.get(one),
        await place.evidence.text(one),
        await place.evidence.chunks(one),
    )
    assert (found.pages, found.characters, found.chunks) == (3, len(whole), len(chunks))
    assert row.title == found.title == "Three Sheets"
    for chunk in chunks:
        assert whole[chunk.start : chunk.end] == chunk.text
        start, end = row.pages[chunk.page - 1]
        assert start <= chunk.start < chunk.end <= end
        assert f"sheet {chunk.page} " in chunk.text
        assert len(chunk.boxes) == chunk.text.count("\n") + 1
    assert await place.extract(one) == found
    assert [c.id for c in await place.evidence.chunks(one)] == [c.id for c in chunks]


async def test_a_locked_pdf_asks_and_opens_with_the_stored_password(place: Place, tmp_path: Path) -> None:
    path = files.pdf(tmp_path / "a.pdf", ["Secret words."], password="sesame")
    one = await place.put(path.read_bytes(), "application/pdf", "a.pdf")
    locked = await place.extract(one)
    assert isinstance(locked, NeedsPassword)
    place.passwords = {"right-secret": "sesame", "wrong-secret": "guess"}
    wrong = await place.extract(one, "wrong-secret")
    assert isinstance(wrong, NeedsPassword)
    assert "does not open" in wrong.reason
    expired = await place.extract(one, "gone-secret")
    assert isinstance(expired, NeedsPassword)
    assert "expired" in expired.reason
    assert isinstance(await place.extract(one, "right-secret"), Extracted)
    assert "Secret words." in await place.evidence.text(one)


async def test_a_picture_is_extracted_without_chunks_and_says_why(place: Place, tmp_path: Path) -> None:
    path = files.picture_pdf(tmp_path / "a.pdf")
    one = await place.put(path.read_bytes(), "application/pdf", "a.pdf")
    found = await place.extract(one)
    assert isinstance(found, Extracted)
    assert (found.chunks, found.pages) == (0, 1)
    assert "no text" in (await place.evidence.get(one)).meta["notice"]


async def test_a_damaged_file_fails_for_good_with_a_reason(place: Place) -> None:
    one = await place.put(b"%PDF-1.4 broken", "application/pdf", "a.pdf")
    with pytest.raises(Permanent, match="damaged"):
        await place.extract(one)


async def test_attachments_become_uploads_of_their_own_once(place: Place, tmp_path: Path) -> None:
    message = files.mail()
    message.add_attachment("Plain words.", filename="note.txt")
    message.add_attachment(files.mail(subject="Enclosed"))
    one = await place.put(message.as_bytes(), "message/rfc822", "a.eml")
    found = await place.extract(one)
    assert isinstance(found, Extracted)
    assert found.children == 2
    again = await place.extract(one, job=QuietJob(id="upload-0-a:9:0"))
    assert again == found.model_copy(update={"effect": "upload-0-a:9:0"})
    uploads = await place.store.machines("upload")
    assert sorted(u.context["filename"] for u in uploads) == ["Enclosed.eml", "note.txt"]
    for upload in uploads:
        assert upload.configuration == ["verifying"]
        assert (upload.topic, upload.context["parent"], upload.context["owner"]) == ("case:case1", one, "u1")
        assert place.blobs.exists(upload.context["sha256"])


async def test_mail_in_mail_in_mail_ends_somewhere(place: Place) -> None:
    parent = None
    for level in range(MAX_NESTING):
        message = files.mail(subject=f"Level {level}")
        message.add_attachment("Deeper words.", filename="note.txt")
        parent = await place.put(message.as_bytes(), "message/rfc822", "a.eml", parent)
        found = await place.extract(parent)
        assert isinstance(found, Extracted)
        assert found.children == (1 if level < MAX_NESTING - 1 else 0)
    assert "levels deep" in (await place.evidence.get(parent or 0)).meta["notice"]


class Counting:
    """Vectors that depend on the text alone, and how many texts were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += len(texts)
        return np.stack([unit(1, len(t) % 7) for t in texts])

    def required_bytes(self, texts: int) -> int:
        return 1000 * texts


LONG = "\n\n".join(f"Paragraph {i} speaks of many things. " + "And of others too. " * 40 for i in range(80))


async def test_embedding_goes_on_where_it_was_interrupted(engine: AsyncEngine, tmp_path: Path) -> None:
    one = await store(engine, await new_case(engine), "a", LONG)
    evidence, vectors, encoder = EvidenceStore(engine), PgVectors(engine), Counting()
    total = len(await evidence.chunks(one))
    assert total > 2 * BATCH
    leases = Leases("device", lambda: (1 << 20, 1 << 20), folder=tmp_path)
    embed = partial(
        embed_chunks,
        evidence=evidence,
        vectors=vectors,
        words=Words(engine),
        encoder=encoder,
        leases=leases,
    )
    with pytest.raises(Cancelled):
        await embed(EmbedChunks(one), QuietJob(looks_left=2))
    assert len(await vectors.missing(one)) == total - 2 * BATCH
    job = QuietJob()
    found = await embed(EmbedChunks(one), job)
    assert found.chunks == encoder.asked == total
    assert await vectors.missing(one) == []
    assert job.told[0] == (2 * BATCH, total, "chunks")
    assert job.told[-1] == (total, total, "chunks")


async def test_indexing_makes_chunks_findable_and_joins_the_alike(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    evidence, vectors, words = EvidenceStore(engine), PgVectors(engine), Words(engine)
    texts = ["The copper shipment left.", "Copper shipments leave daily.", "Nobody sang."]
    ids = [await store(engine, case, f"d{i}", t) for i, t in enumerate(texts)]
    chunks = [(await evidence.chunks(one))[0].id for one in ids]
    await vectors.put(case, dict(zip(chunks, (unit(1), unit(1, 0.5), unit(0, 0, 1)), strict=True)))

    async def index() -> list[tuple[object, ...]]:
        for one in ids:
            await index_chunks(
                IndexChunks(one),
                QuietJob(),
                evidence=evidence,
                words=words,
                vectors=vectors,
                similarities=Similarities(engine),
                near=NearLinks(evidence, NearCopies(engine)),
            )
        async with engine.connect() as connection:
            pairs = await connection.execute(text("SELECT source, target, weight FROM similarities"))
            postings = await connection.execute(text("SELECT count(*), sum(count) FROM postings"))
            return [*(tuple(row) for row in pairs), *(tuple(row) for row in postings)]

    first = await index()
    assert first[0][:2] == (chunks[0], chunks[1])
    assert first[0][2] == pytest.approx(0.894, abs=1e-3)
    assert [c for c, _ in await words.search(case, ["copper"], 9)] == chunks[:2]
    assert await index() == first


async def test_what_may_come_out_counts_over_the_whole_upload(place: Place) -> None:
    message = files.mail()
    for i in range(5):
        message.add_attachment(f"Words {i}.", filename=f"{i}.txt")
    top = await place.put(message.as_bytes(), "message/rfc822", "a.eml")
    await place.extract(top)
    assert await place.evidence.unpacked(top) == (0, 0)
    child = await place.put(b"child", "text/plain", "b.txt", top)
    beside = await place.put(b"beside", "text/plain", "c.txt", child)
    for one in (child, beside):
        files_out, bytes_out = await place.evidence.unpacked(one)
        assert (files_out, bytes_out) == (5, 5 * len("Words 0.\n"))


async def test_a_bomb_bursts_in_an_empty_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.extract.UNFOLDS_FREELY", 1 << 20)
    content = files.archive({"first.txt": b"harmless", "bomb": bytes(50 << 20), "last.txt": b"never reached"})
    bomb = await place.put(content, "application/zip", "bomb.zip")
    found = await place.extract(bomb)
    assert isinstance(found, Extracted)
    meta = (await place.evidence.get(bomb)).meta
    assert (found.children, meta["entries"], meta["left_out"]) == (1, 3, 2)
    assert "takes more than" in meta["notice"]
    assert list(place.blobs.unfinished.iterdir()) == []


async def test_what_an_archive_holds_becomes_uploads_within_the_room_of_all(place: Place) -> None:
    inner = files.archive({f"{i}.txt": b"words %d" % i for i in range(5)})
    outer = files.archive({"inner.zip": inner, "more.txt": b"more words"})
    top = await place.put(outer, "application/zip", "outer.zip")
    found = await place.extract(top, room=Room(6, 1 << 20))
    assert isinstance(found, Extracted)
    assert found.children == 2
    below = await place.put(inner, "application/zip", "inner.zip", top)
    found = await place.extract(below, room=Room(6, 1 << 20))
    assert isinstance(found, Extracted)
    assert found.children == 4
    assert (await place.evidence.get(below)).meta["left_out"] == 1
    assert await place.extract(below, room=Room(6, 1 << 20)) == found
    last = await place.put(files.archive({"a": b"a"}), "application/zip", "last.zip", below)
    found = await place.extract(last, room=Room(6, 1 << 20))
    assert isinstance(found, Extracted)
    assert found.children == 0
    assert "more than an upload may hold" in (await place.evidence.get(last)).meta["notice"]
