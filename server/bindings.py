"""Which handler does which job in a worker, with its collaborators bound once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from gpu import device_leases
from handlers.adopt import Adoption
from handlers.answer import compose_answer
from handlers.articles import READERS, embed_articles, fetch_articles
from handlers.assemble import assemble_upload
from handlers.detective import (
    Stores as DetectiveStores,
)
from handlers.detective import (
    explain_findings,
    match_meaning,
    rank_findings,
    traverse_cases,
)
from handlers.embed import embed_chunks
from handlers.embedding_cache import EmbeddingCache
from handlers.erase_case import erase_case
from handlers.extract import extract_text
from handlers.fetching import Fetcher
from handlers.forget import forget_evidence
from handlers.index import index_chunks
from handlers.job import Handlers
from handlers.link import link_entities
from handlers.models import Models
from handlers.near import NearLinks
from handlers.poi_search import search_poi, size_poi_search
from handlers.rank import rank_hits
from handlers.reading import Room
from handlers.resolve import resolve_question
from handlers.sandbox import Sandbox
from handlers.search import search_links, search_meaning, search_words
from handlers.sources import sources_in
from handlers.summarise import summarise_evidence
from handlers.tag import tag_evidence
from handlers.verify import verify_upload
from handlers.warm import warm_ranking
from machines.case import EraseCase
from machines.detective import ExplainFindings, MatchMeaning, RankFindings, TraverseCases
from machines.poi_search import SearchPoi, SizePoiSearch
from machines.query import (
    ComposeAnswer,
    EmbedArticles,
    FetchArticles,
    RankHits,
    ResolveQuestion,
    SearchLinks,
    SearchMeaning,
    SearchWords,
)
from machines.upload_events import (
    AssembleUpload,
    EmbedChunks,
    ExtractText,
    ForgetEvidence,
    IndexChunks,
    LinkEntities,
    SummariseEvidence,
    TagEvidence,
    VerifyUpload,
)
from server.beside import graph_of, vectors_of
from server.blob_store import arrivals_of, blobs_of, with_s3
from server.leaving import GOING, case_stores, leaving_stores
from server.model_adapters import count_vectors, embedder_of, language_model_of
from server.queues import JobQueues
from server.worker import WorkerSetup
from storage.articles import Articles
from storage.attention import AttentionNotes
from storage.case_cache import CaseCache
from storage.cases import Cases
from storage.consents import CaseConsents
from storage.detective import DetectiveFacts
from storage.entities import Entities
from storage.evidence import EvidenceStore
from storage.extractions import Extractions
from storage.fetched import FetchedPages
from storage.findings import Findings
from storage.journal import CustodyJournal
from storage.near_copies import NearCopies
from storage.parts_disk import DiskParts
from storage.poi_mentions import PoiMentions
from storage.pois import Pois
from storage.query_graphs import QueryGraphs
from storage.secrets import Secrets
from storage.similarities import Similarities
from storage.transfers import Quotas, Transfers
from storage.votes import Votes
from storage.words import Words

CACHED_S = 6 * 3600
SUMMED_S = 24 * 3600
"""How long what a model made of a conversation is kept after the last of a case."""
CACHED_VECTORS = 20_000
"""Of a case, beside those of its passages: about 30 MB."""
CACHED_ANSWERS = 2_000


@asynccontextmanager
async def worker(setup: WorkerSetup) -> AsyncIterator[Handlers]:
    """The handlers of one worker process. Both queues know all, since a queue is only a place to run."""
    settings, database = setup.settings, setup.database
    evidence, blobs = EvidenceStore(database), await asyncio.to_thread(blobs_of, settings)
    beside, words = AsyncExitStack(), Words(database)
    vectors = await beside.enter_async_context(vectors_of(settings, database))
    graph, votes = await beside.enter_async_context(graph_of(settings, database)), Votes(database)
    graphs = QueryGraphs(setup.redis, shards=settings.shards)
    encoder = await embedder_of(settings, database, device="auto" if setup.queue == "gpu" else "cpu")
    models = Models(language_model_of(settings), CaseConsents(database), settings.trusted_hosts)
    queues = JobQueues(setup.services.queue_url)
    caching = partial(CaseCache, setup.redis, shards=settings.shards)
    cache = EmbeddingCache(
        encoder, caching("embeddings", keep_s=CACHED_S, most=CACHED_VECTORS), count=count_vectors
    )
    may_embed = partial(models.let_embed, host=encoder.host)
    if setup.queue == "cpu":
        await asyncio.to_thread(warm_ranking)
    elif not encoder.host:
        await asyncio.to_thread(encoder.encode, ["ready"])
    near = NearLinks(evidence, NearCopies(database))
    journal = CustodyJournal(database)
    arrivals = await asyncio.to_thread(arrivals_of, settings, blobs, database)
    leaving = leaving_stores(setup.engine, setup.redis, database, journal, arrivals, settings.shards)
    ending = case_stores(setup.engine, setup.redis, database, journal, arrivals, settings.shards)
    secrets = Secrets(setup.redis)
    detective = DetectiveStores(Cases(database), DetectiveFacts(database), Findings(database))
    sandbox = Sandbox(
        memory_bytes=settings.parse_memory_bytes,
        time_s=settings.parse_time_s,
        total_s=settings.parse_total_s,
        output_bytes=settings.parse_output_bytes,
        folder=settings.data_dir / "scratch",
        tools=settings.reader_tools,
    )

    sources, articles = sources_in(settings.sources), Articles(database)
    articles_sandbox = Sandbox(
        memory_bytes=settings.parse_memory_bytes,
        time_s=20,
        output_bytes=16 << 20,
        folder=settings.data_dir / "scratch",
        readers=READERS,
    )

    async def password(secret: str) -> str:
        return await secrets.get(secret) or ""

    async def entities_changed(case: str) -> None:
        machine = await Cases(database).machine(case)
        await setup.engine.send(machine, "changed", {"part": "entities"}, source="handler")

    async def abandoned(machine: str) -> bool:
        snapshot = await setup.engine.load(machine)
        return snapshot is None or not GOING.isdisjoint(snapshot.configuration)

    try:
        handlers: Handlers = {
            AssembleUpload: partial(
                assemble_upload,
                transfers=Transfers(database, Quotas()),
                parts=DiskParts(settings.data_dir / "parts"),
                blobs=blobs,
                arrivals=arrivals,
            ),
            VerifyUpload: partial(
                verify_upload, evidence=evidence, blobs=blobs, arrivals=arrivals, abandoned=abandoned
            ),
            ForgetEvidence: partial(forget_evidence, stores=leaving),
            EraseCase: partial(erase_case, stores=ending),
            ExtractText: partial(
                extract_text,
                evidence=evidence,
                blobs=blobs,
                arrivals=arrivals,
                reader=sandbox,
                password=password,
                adopt=Adoption(setup.engine),
                near=near,
                room=Room(settings.unpack_files, settings.unpack_bytes),
            ),
            EmbedChunks: partial(
                embed_chunks,
                may_embed=may_embed,
                give_way=partial(asyncio.to_thread, queues.urgent_waits, setup.queue),
                evidence=evidence,
                words=words,
                vectors=vectors,
                encoder=encoder,
                leases=device_leases(encoder.device),
            ),
            IndexChunks: partial(
                index_chunks,
                evidence=evidence,
                words=words,
                vectors=vectors,
                similarities=Similarities(database),
                near=near,
            ),
            LinkEntities: partial(
                link_entities,
                evidence=evidence,
                entities=Entities(database),
                pois=Pois(database),
                extractions=Extractions(database),
                models=models,
            ),
            TagEvidence: partial(tag_evidence, evidence=evidence, words=words),
            SummariseEvidence: partial(summarise_evidence, evidence=evidence),
            TraverseCases: partial(traverse_cases, stores=detective),
            MatchMeaning: partial(match_meaning, stores=detective),
            RankFindings: partial(rank_findings, stores=detective),
            ExplainFindings: partial(explain_findings, stores=detective),
            SizePoiSearch: partial(size_poi_search, mentions=PoiMentions(database)),
            SearchPoi: partial(
                search_poi,
                mentions=PoiMentions(database),
                pois=Pois(database),
                tell_changed=entities_changed,
            ),
            SearchMeaning: partial(
                search_meaning,
                vectors=vectors,
                words=words,
                encoder=encoder,
                cache=cache,
                may_embed=may_embed,
            ),
            SearchWords: partial(search_words, words=words),
            SearchLinks: partial(search_links, graph=graph),
            RankHits: partial(
                rank_hits,
                graph=graph,
                votes=votes,
                graphs=graphs,
                articles=articles,
                attention=AttentionNotes(database),
                load=setup.engine.load,
            ),
            ComposeAnswer: partial(
                compose_answer,
                graph=graph,
                words=words,
                encoder=encoder,
                models=models,
                read_topic=setup.store.read_topic,
                cache=cache,
                written=caching("answers", keep_s=CACHED_S, most=CACHED_ANSWERS),
                may_embed=may_embed,
                summaries=caching("summaries", keep_s=SUMMED_S, most=CACHED_ANSWERS),
                articles=articles,
            ),
            FetchArticles: partial(
                fetch_articles,
                sources=sources,
                fetching=partial(
                    Fetcher,
                    sources,
                    agent=f"Casewire (+{settings.address})",
                    cache=FetchedPages(setup.redis),
                ),
                reader=articles_sandbox,
                articles=articles,
                folder=settings.data_dir / "scratch",
            ),
            EmbedArticles: partial(
                embed_articles,
                articles=articles,
                words=words,
                encoder=encoder,
                leases=device_leases(encoder.device),
            ),
            ResolveQuestion: partial(
                resolve_question,
                graph=graph,
                models=models,
                read_topic=setup.store.read_topic,
            ),
        }
        yield with_s3(handlers, blobs, database, setup.engine, arrivals)
    finally:
        await sandbox.aclose()
        await beside.aclose()
        queues.close()
        await articles_sandbox.aclose()
