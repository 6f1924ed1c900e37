"""The canonical tables in PostgreSQL, all of them; everything else can be rebuilt from them.

Chunks, entities, POIs and evidence draw their ids from one sequence, `node_id`, so that an id
names a node of the graph whatever its kind.
"""

from sqlmodel import SQLModel

from storage.schema_conversations import Article, ArticleChunk, Conversation, DeletedQuestion, Question
from storage.schema_detective import Finding, FindingDrafts, FindingVerdict
from storage.schema_edits import Edit
from storage.schema_evidence import DIMENSIONS, Chunk, ChunkLength, Evidence, Posting, Similarity
from storage.schema_follow import FollowerRecord, StoreMark
from storage.schema_graph import Attention, AttentionOff, Entity, Mention, Poi, Vote
from storage.schema_imports import Import, ImportCount, ImportFile
from storage.schema_leaving import Arrival, Departure
from storage.schema_machines import ArchivedMachine, Journal, Marker, Sealed
from storage.schema_models import Consent, EmbedderRecord
from storage.schema_multiparts import MultipartRecord
from storage.schema_near import NearDuplicate, PictureHash, TextBand, TextSignature
from storage.schema_people import ApiToken, Case, Member, RequestKey, User
from storage.schema_relations import Extraction, Relation
from storage.schema_same import SameAs
from storage.schema_topics import SimilarDocument, Topic, TopicMember, TopicRun
from storage.schema_totals import CaseTotal, EntityCount, OpenTotal, TotalChange
from storage.schema_transfers import TransferRecord
from storage.schema_webhooks import Webhook, WebhookAttempt, WebhookLetter

__all__ = [
    "DIMENSIONS",
    "ApiToken",
    "ArchivedMachine",
    "Arrival",
    "Article",
    "ArticleChunk",
    "Attention",
    "AttentionOff",
    "Case",
    "CaseTotal",
    "Chunk",
    "ChunkLength",
    "Consent",
    "Conversation",
    "DeletedQuestion",
    "Departure",
    "Edit",
    "EmbedderRecord",
    "Entity",
    "EntityCount",
    "Evidence",
    "Extraction",
    "Finding",
    "FindingDrafts",
    "FindingVerdict",
    "FollowerRecord",
    "Import",
    "ImportCount",
    "ImportFile",
    "Journal",
    "Marker",
    "Member",
    "Mention",
    "MultipartRecord",
    "NearDuplicate",
    "OpenTotal",
    "PictureHash",
    "Poi",
    "Posting",
    "Question",
    "Relation",
    "RequestKey",
    "SQLModel",
    "SameAs",
    "Sealed",
    "SimilarDocument",
    "Similarity",
    "StoreMark",
    "TextBand",
    "TextSignature",
    "Topic",
    "TopicMember",
    "TopicRun",
    "TotalChange",
    "TransferRecord",
    "User",
    "Vote",
    "Webhook",
    "WebhookAttempt",
    "WebhookLetter",
]
