"""What a running application is made of, by type; the lifespan builds it, endpoints receive it."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from handlers.page_pictures import PagePictures
from handlers.paper import Paper
from server.admission import Admission
from server.engine import Engine
from server.hub import Hub
from server.inspect_journal import Journals
from server.inspect_search import Inspector
from server.lexicons import Lexicons
from server.multipart import DirectUploads
from server.name_suggestions import NameSuggestions
from server.passwords import Passwords
from server.presence import Presence
from server.reporter import Reporter
from server.rights import Rights
from server.services import Services
from server.sessions import Sessions
from server.settings import Settings
from server.sockets import Sockets
from server.throttle import Throttle
from server.tokens import Tokens
from server.uploading import Uploading
from server.warming import Warming
from server.webhooks_sending import Sender
from storage.arrivals import Arrivals
from storage.attention import AttentionNotes
from storage.blobs import Blobs
from storage.cases import Cases
from storage.census import Census
from storage.detective import DetectiveFacts
from storage.edits import Edits
from storage.evidence import EvidenceStore
from storage.findings import Findings
from storage.graph import Graph
from storage.import_files import ImportFiles
from storage.imports import Imports
from storage.journal import CustodyJournal
from storage.judgements import Judgements
from storage.machine_store import MachineStore
from storage.near_copies import NearCopies
from storage.partials import Partials
from storage.people import People
from storage.pois import Pois
from storage.prepared import Prepared
from storage.query_graphs import QueryGraphs
from storage.same_as import SameNames
from storage.secrets import Secrets
from storage.timeline import Timeline
from storage.topics import Topics
from storage.votes import Votes
from storage.webhook_deliveries import WebhookDeliveries
from storage.webhooks import Webhooks


@dataclass(frozen=True)
class Parts:
    """Every collaborator of the endpoints and the websocket."""

    settings: Settings
    services: Services
    redis: Redis
    database: AsyncEngine
    store: MachineStore
    engine: Engine
    hub: Hub
    sockets: Sockets
    rights: Rights
    sessions: Sessions
    tokens: Tokens
    admission: Admission
    passwords: Passwords
    logins: Throttle
    logins_of_address: Throttle
    registrations: Throttle
    invitations: Throttle
    people: People
    cases: Cases
    pois: Pois
    judgements: Judgements
    same_names: SameNames
    name_suggestions: NameSuggestions
    timeline: Timeline
    topics: Topics
    evidence: EvidenceStore
    edits: Edits
    near: NearCopies
    facts: DetectiveFacts
    findings: Findings
    votes: Votes
    attention: AttentionNotes
    graph: Graph
    query_graphs: QueryGraphs
    blobs: Blobs
    arrivals: Arrivals
    direct: DirectUploads | None
    pictures: PagePictures
    uploading: Uploading
    imports: Imports
    import_files: ImportFiles
    secrets: Secrets
    partials: Partials
    journal: CustodyJournal
    census: Census
    webhooks: Webhooks
    deliveries: WebhookDeliveries
    sender: Sender
    inspector: Inspector
    journals: Journals
    reporter: Reporter
    presence: Presence
    paper: Paper
    warming: Warming
    prepared: Prepared
    lexicons: Lexicons


def parts_of(connection: HTTPConnection) -> Parts:
    """The parts of the application that a request or a socket belongs to."""
    parts: Parts = connection.state.parts
    return parts
