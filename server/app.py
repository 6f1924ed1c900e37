"""The application: every part built once, with its adapters named here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from secrets import token_hex
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from handlers.models import Models
from handlers.paper import Paper
from handlers.warm import warm_ranking
from server import problems, tracing
from server.admission import Admission
from server.arrivals_sweeper import ArrivalsSweeper
from server.beside import followers_of, graph_of
from server.blob_store import arrivals_of, blobs_of, multiparts_of, pictures_of, with_s3
from server.conversations import sweeper_of
from server.ending import end
from server.engine import Engine
from server.errors import Close
from server.fanout import warm as warm_fanout
from server.garbage import settle
from server.headers import SecurityHeaders
from server.hub import Hub
from server.inline import inline_handlers
from server.inspect_journal import Journals
from server.inspect_search import Inspector
from server.inspect_usual import UsualTimes
from server.keeping_up import KeepingUp
from server.lexicons import Lexicons
from server.logs import configure_logging
from server.model_adapters import language_model_of
from server.multipart import DirectUploads
from server.name_suggestions import NameSuggestions
from server.parts import Parts
from server.parts_sweeper import PartsSweeper
from server.passwords import Passwords
from server.prepare import prepare
from server.preparing import preparing_of
from server.presence import Presence
from server.pressure import background_rest_s
from server.reporter import Reporter
from server.retagging import Retagging
from server.rights import Rights
from server.routes import ROUTES
from server.runtime import runtime
from server.services import DATABASE_CONNECTIONS, Services, ServicesError, running_services
from server.serving import server_of
from server.sessions import Sessions
from server.settings import Settings
from server.sockets import Sockets
from server.throttle import Throttle
from server.tokens import Tokens
from server.topics_keeping import topics_keeping_of
from server.uploading import Uploading
from server.warming import Warming
from server.webhooks import deliverer_of
from server.webhooks_sending import Sender
from server.webhooks_targets import Targets
from storage.archive import resting_in
from storage.attention import AttentionNotes
from storage.case_words import CaseWords
from storage.cases import Cases
from storage.census import Census
from storage.consents import CaseConsents
from storage.database import create_engine
from storage.detective import DetectiveFacts
from storage.edits import Edits
from storage.era import settle_era
from storage.evidence import EvidenceStore
from storage.findings import Findings
from storage.import_files import ImportFiles
from storage.imports import Imports
from storage.judgements import Judgements
from storage.machine_journal import MachineJournals
from storage.machine_search import MachineSearch
from storage.machine_store_redis import RedisMachineStore
from storage.marks import Marks
from storage.name_facts import NameStore
from storage.near_copies import NearCopies
from storage.partials import Partials
from storage.parts_disk import DiskParts
from storage.people import People
from storage.pois import Pois
from storage.prepared import Prepared
from storage.query_graphs import QueryGraphs
from storage.redis_client import connect
from storage.runtime_records import RuntimeRecords
from storage.same_as import SameNames
from storage.secrets import Secrets
from storage.timeline import Timeline
from storage.tokens import ApiTokens
from storage.topics import Topics
from storage.transfers import Quotas, Transfers
from storage.votes import Votes
from storage.webhook_deliveries import WebhookDeliveries
from storage.webhooks import Webhooks

logger = logging.getLogger(__name__)

CLOSING_S = 2.0

LOGIN_FAILURES = 10
"""Of one address and account within a quarter of an hour."""
ADDRESS_FAILURES = 100
REGISTRATION_FAILURES = 20
INVITATION_FAILURES = 20
"""Addresses without an account that one person may name within a quarter of an hour."""


def create_app(
    settings: Settings,
    services: Services,
    *,
    name: str = "",
    alone: bool = True,
    when_warm: Callable[[], None] = lambda: None,
) -> Starlette:
    """The ASGI application on running services; its lifespan builds and ends everything else.

    Args:
        name: Unique to this life of this process; made up if it is empty.
        alone: False for one of several server processes.
        when_warm: Called in a thread once all is loaded that a process of its own loads.
    """
    name = name or f"server-{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with build(settings, services, name=name, alone=alone, when_warm=when_warm) as parts:
            app.state.parts = parts
            yield {"parts": parts}

    return Starlette(
        routes=ROUTES,
        middleware=[Middleware(SecurityHeaders, settings=settings)],
        exception_handlers=problems.handlers(),
        lifespan=lifespan,
    )


@asynccontextmanager
async def build(
    settings: Settings,
    services: Services,
    *,
    name: str,
    alone: bool,
    when_warm: Callable[[], None] = lambda: None,
) -> AsyncIterator[Parts]:
    """Everything that an application is made of, connected and running, on stores that are prepared."""
    async with AsyncExitStack() as stack:
        redis = await connect(services.redis_url)
        stack.push_async_callback(redis.aclose)
        database = create_engine(services.database_url, pool_size=DATABASE_CONNECTIONS)
        stack.push_async_callback(database.dispose)
        era = await settle_era(redis, database, shards=settings.shards)
        store = RedisMachineStore(redis, shards=settings.shards, era=era)
        engine = Engine(store, shards=settings.shards, resting=resting_in(database))
        hub = await stack.enter_async_context(Hub(store))
        blobs = await asyncio.to_thread(blobs_of, settings)
        await asyncio.to_thread(blobs.clear_abandoned)
        incoming = DiskParts(settings.data_dir / "parts")
        transfers = Transfers(database, Quotas(settings.quota_user_bytes, settings.quota_case_bytes))
        multiparts = multiparts_of(blobs, database)
        direct = None
        if multiparts is not None:
            direct = DirectUploads(engine, multiparts, transfers, max_bytes=settings.max_upload_bytes)
        arrivals = await asyncio.to_thread(arrivals_of, settings, blobs, database)
        pictures = await asyncio.to_thread(pictures_of, settings, blobs)
        stack.push_async_callback(pictures.aclose)
        cases = Cases(database)
        rights = Rights(cases, redis)
        sessions = Sessions(redis, idle_s=settings.session_hours * 3600)
        tokens = Tokens(ApiTokens(database))
        people, deliveries = People(database), WebhookDeliveries(database)
        sender = await stack.enter_async_context(Sender(Targets(settings.webhook_hosts)))
        deliverer = deliverer_of(
            settings, engine, hub, rights, people, deliveries, sender, redis=redis, database=database
        )
        search, machine_journals = MachineSearch(database), MachineJournals(database)
        graph = await stack.enter_async_context(graph_of(settings, database))
        followers = await stack.enter_async_context(followers_of(settings, database))
        marks = Marks(database)
        sockets = Sockets()
        rest = partial(background_rest_s, RuntimeRecords(redis))
        running = await stack.enter_async_context(
            runtime(
                settings,
                services,
                engine=engine,
                redis=redis,
                database=database,
                inline=with_s3(
                    inline_handlers(
                        settings=settings,
                        engine=engine,
                        hub=hub,
                        redis=redis,
                        database=database,
                        transfers=transfers,
                        parts=incoming,
                        arrivals=arrivals,
                        graph=graph,
                    ),
                    blobs,
                    database,
                    engine,
                    arrivals,
                ),
                arrivals=arrivals,
                beside={
                    "parts": PartsSweeper(engine, transfers, incoming, holder=name).run,
                    "topics": topics_keeping_of(engine, database, holder=name, rest=rest).run,
                    "arrivals": ArrivalsSweeper(engine, database, arrivals, holder=name).run,
                    "conversations": sweeper_of(engine, redis, database, settings.shards, holder=name).run,
                    "retagging": Retagging(engine, database, holder=name, rest=rest).run,
                    "preparing": preparing_of(
                        store, redis, database, settings.shards, holder=name, rest=rest
                    ).run,
                }
                | ({"webhooks": deliverer.run} if settings.webhook_hosts else {})
                | ({"multiparts": direct.run} if direct else {})
                | {each.name: KeepingUp(store, marks, each, holder=name).run for each in followers},
                name=name,
                alone=alone,
            )
        )
        presence = Presence(name, running.records, hub, sockets)
        await stack.enter_async_context(_following(presence.run))
        await stack.enter_async_context(_following(rights.follow))
        reporter = Reporter(redis)
        await stack.enter_async_context(_following(reporter.run))
        await stack.enter_async_context(_following(partial(asyncio.to_thread, _warm, when_warm)))
        warming = Warming(
            Models(language_model_of(settings), CaseConsents(database), settings.trusted_hosts),
            redis,
            rest=rest,
        )
        stack.push_async_callback(warming.aclose)
        prepared = Prepared(redis, shards=settings.shards)
        yield Parts(
            settings=settings,
            services=services,
            redis=redis,
            database=database,
            store=store,
            engine=engine,
            hub=hub,
            sockets=sockets,
            rights=rights,
            sessions=sessions,
            tokens=tokens,
            admission=Admission(sessions, tokens),
            passwords=Passwords(),
            logins=Throttle(redis, "login", limit=LOGIN_FAILURES),
            logins_of_address=Throttle(redis, "login-address", limit=ADDRESS_FAILURES),
            registrations=Throttle(redis, "register", limit=REGISTRATION_FAILURES),
            invitations=Throttle(redis, "invite", limit=INVITATION_FAILURES),
            people=people,
            cases=cases,
            pois=Pois(database),
            judgements=Judgements(database),
            same_names=SameNames(database),
            timeline=Timeline(database),
            topics=Topics(database),
            name_suggestions=NameSuggestions(NameStore(database), SameNames(database)),
            evidence=EvidenceStore(database),
            edits=Edits(database, running.journal),
            near=NearCopies(database),
            facts=DetectiveFacts(database),
            findings=Findings(database),
            votes=Votes(database),
            attention=AttentionNotes(database),
            graph=graph,
            query_graphs=QueryGraphs(redis, shards=settings.shards),
            blobs=blobs,
            arrivals=arrivals,
            direct=direct if multiparts is not None and multiparts.direct else None,
            pictures=pictures,
            uploading=Uploading(
                engine,
                incoming,
                blobs,
                arrivals,
                transfers,
                redis,
                max_bytes=settings.max_upload_bytes,
                shards=settings.shards,
            ),
            imports=Imports(database),
            import_files=ImportFiles(database, transfers.quotas),
            secrets=Secrets(redis),
            partials=Partials(redis),
            journal=running.journal,
            census=Census(database),
            webhooks=Webhooks(database),
            deliveries=deliveries,
            sender=sender,
            inspector=Inspector(store, search, UsualTimes(machine_journals)),
            journals=Journals(store, machine_journals, search),
            reporter=reporter,
            presence=presence,
            paper=Paper(),
            warming=warming,
            prepared=prepared,
            lexicons=Lexicons(graph, CaseWords(database), prepared),
        )


@asynccontextmanager
async def _following(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())
    task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        await end([task])


def _warm(when_warm: Callable[[], None]) -> None:
    """Have compiled loops ready before somebody waits for them; one after the other, in one thread."""
    warm_fanout()
    warm_ranking()
    when_warm()


def _tell_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("A part of the server ended.", exc_info=error, extra={"action": "part.ended"})


async def serve(settings: Settings) -> None:
    """Start what is not configured, serve until SIGINT or SIGTERM, and end everything in order.

    Raises:
        ServicesError: The address or a service cannot be used; its text says what to do.
    """
    configure_logging(settings.log_level, settings.log_format)
    # Bound before anything is started, so that a taken port is told at once.
    with bind(settings) as listener:
        async with running_services(settings) as services:
            await prepare(settings, services)
            await serve_on(listener, settings, services)


def bind(settings: Settings, *, shared: bool = False) -> socket.socket:
    """A socket on the address of the settings.

    Args:
        shared: Other processes of this user may bind the address as well; then it does not listen yet.

    Raises:
        ServicesError: The address cannot be had; its text says what to do.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        if not shared:
            return socket.create_server((settings.host, settings.port), family=family)
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((settings.host, settings.port))
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        raise ServicesError(
            f"Cannot listen on {settings.host}, port {settings.port} ({os.strerror(error.errno or 0)}): "
            "set CASEWIRE_PORT or CASEWIRE_HOST to another one, or stop what listens there."
        ) from error


async def serve_on(
    listener: socket.socket, settings: Settings, services: Services, *, name: str = "", alone: bool = True
) -> None:
    """Serve on a bound socket and prepared services until SIGINT or SIGTERM; see `create_app`."""
    app = create_app(settings, services, name=name, alone=alone, when_warm=settle)

    async def send_elsewhere() -> None:
        await app.state.parts.sockets.close_all(Close.SHUTDOWN, within_s=CLOSING_S)

    end_tracing = tracing.start(settings, "server")
    try:
        logger.info("Serving.", extra={"action": "serve", "address": settings.address})
        await server_of(app, settings, send_elsewhere).serve(sockets=[listener])
    finally:
        await asyncio.to_thread(end_tracing)
