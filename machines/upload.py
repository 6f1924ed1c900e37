"""One file on its way from the sender's disk to searchable evidence."""

from __future__ import annotations

from typing import ClassVar

from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import Event
from machines.notification import Notify
from machines.upload_events import (
    Cancel,
    EmbedChunks,
    Embedded,
    Extracted,
    ExtractText,
    IndexChunks,
    Indexed,
    Interrupted,
    Linked,
    LinkEntities,
    NeedsPassword,
    Received,
    Receiving,
    Recognised,
    Refused,
    Resumed,
    Retry,
    Silent,
    Summarised,
    SummariseEvidence,
    TagEvidence,
    Tagged,
    Unlock,
    Unsupported,
    UploadSpawned,
    Verified,
    VerifyUpload,
)
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to

RECEIVE_SILENCE_S = 300.0
PAUSE_LIMIT_S = 86_400.0


class UploadContext(WorkContext):
    """What is known of the file so far."""

    filename: str = ""
    bytes: int = 0
    received: int = 0
    sha256: str = ""
    parent: int = 0
    owner: str = ""
    evidence: int = 0
    media_type: str = ""
    title: str = ""
    pages: int = 0
    characters: int = 0
    chunks: int = 0
    children: int = 0
    entities: int = 0
    tags: list[str] = []
    secret: str = ""
    retryable: bool = False


class UploadChart(WorkChart):
    """Receive, verify, extract, then four analyses side by side; each may break on its own."""

    validate_trap_states = False
    """Off: `ready` is where evidence rests."""

    kind: ClassVar[str] = "upload"
    context_type = UploadContext
    spawn_event = UploadSpawned
    spawn_topics = ("case", "import")
    event_types = (
        Receiving, Received, Interrupted, Resumed, Silent, Refused, Verified, Recognised, Unsupported,
        Extracted, NeedsPassword, Unlock, Embedded, Indexed, Linked, Tagged, Summarised, Retry, Cancel,
        *WORK_EVENTS,
    )  # fmt: skip

    context: UploadContext

    receiving = State(initial=True, enter="expect_bytes")
    paused = State(enter="wait_for_sender")
    verifying = State(enter="request")
    duplicate = State(final=True)
    extracting = State(enter="request")
    locked = State()

    class analysing(State.Parallel):
        class vectors(State.Compound):
            vectors_due = State(initial=True)
            embedding = State(enter="request")
            indexing = State(enter="request")
            vectors_well = State(final=True)
            vectors_broken = State(final=True)

            embedded = embedding.to(indexing, on="note_embedded")
            indexed = indexing.to(vectors_well, on="note_indexed")
            vectors_due.to(vectors_well, cond="vectors_are_well")
            vectors_due.to(indexing, cond="has_vectors")
            vectors_due.to(embedding)

        class links(State.Compound):
            links_due = State(initial=True)
            linking = State(enter="request")
            links_well = State(final=True)
            links_broken = State(final=True)

            linked = linking.to(links_well, on="note_linked")
            links_due.to(links_well, cond="links_are_well")
            links_due.to(linking)

        class tags(State.Compound):
            tags_due = State(initial=True)
            tagging = State(enter="request")
            tags_well = State(final=True)
            tags_broken = State(final=True)

            tagged = tagging.to(tags_well, on="note_tagged")
            tags_due.to(tags_well, cond="tags_are_well")
            tags_due.to(tagging)

        class summary(State.Compound):
            summary_due = State(initial=True)
            summarising = State(enter="request")
            summary_well = State(final=True)
            summary_broken = State(final=True)

            summarised = summarising.to(summary_well, on="note_summarised")
            summary_due.to(summary_well, cond="summary_is_well")
            summary_due.to(summarising)

    ready = State(enter="tell_ready")
    failed = State(enter="tell_failed")
    cancelled = State(final=True)

    receiving_on = on_each(receiving, on="note_receiving")
    received = receiving.to(verifying, on="note_received")
    interrupted = receiving.to(paused, on="note_reason")
    resumed = paused.to(receiving)
    silent = receiving.to(paused, on="note_silence") | paused.to(failed, on="note_abandoned")
    refused = from_each(receiving, paused, to=failed, on="note_reason")
    verified = verifying.to(extracting, on="note_verified")
    recognised = verifying.to(duplicate, on="note_duplicate")
    unsupported = verifying.to(failed, on="note_unsupported")
    extracted = extracting.to(analysing, cond="has_text", on="note_extracted") | extracting.to(
        ready, on="note_extracted"
    )
    needs_password = extracting.to(locked, on="note_locked")
    unlock = locked.to(extracting, on="note_secret")
    done_state_analysing = from_each(analysing, to=ready, cond="all_well") | from_each(analysing, to=failed)
    retry = failed.to(analysing, cond="may_analyse_again", on="forget_reason") | failed.to(
        verifying, cond="may_verify_again", on="forget_reason"
    )
    cancel = from_each(receiving, paused, verifying, extracting, locked, analysing, failed, to=cancelled)

    _stages: ClassVar[dict[State, State]] = {
        verifying: failed,
        extracting: failed,
        analysing.vectors.embedding: analysing.vectors.vectors_broken,
        analysing.vectors.indexing: analysing.vectors.vectors_broken,
        analysing.links.linking: analysing.links.links_broken,
        analysing.tags.tagging: analysing.tags.tags_broken,
        analysing.summary.summarising: analysing.summary.summary_broken,
    }
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of a stage."""
        c = self.context
        match stage:
            case "verifying":
                return VerifyUpload(self.topic, c.filename, c.sha256, c.bytes, c.parent, c.owner)
            case "extracting":
                return ExtractText(c.evidence, c.secret, c.owner)
            case "embedding":
                return EmbedChunks(c.evidence)
            case "indexing":
                return IndexChunks(c.evidence)
            case "linking":
                return LinkEntities(c.evidence)
            case "tagging":
                return TagEvidence(c.evidence)
            case "summarising":
                return SummariseEvidence(c.evidence)
        raise KeyError(stage)

    def expect_bytes(self, data: Event, state: State) -> None:
        """Start, or start anew, to receive."""
        if isinstance(data, UploadSpawned):
            self.context.filename = data.filename
            self.context.bytes = data.bytes
            self.context.parent = data.parent
            self.context.owner = self.actor
        self.context.received = 0
        self.set_timer("silent", "silent", RECEIVE_SILENCE_S, state=state)

    def wait_for_sender(self, state: State) -> None:
        """A broken-off upload is kept for a day."""
        self.set_timer("silent", "silent", PAUSE_LIMIT_S, state=state)

    def note_receiving(self, data: Receiving, source: State) -> None:
        """The sender is alive."""
        self.context.received = data.received
        self.set_timer("silent", "silent", RECEIVE_SILENCE_S, state=source)

    def note_received(self, data: Received) -> None:
        """The content has an address."""
        self.context.sha256 = data.sha256
        self.context.bytes = self.context.received = data.bytes
        self.context.reason = ""

    def note_reason(self, data: Interrupted | Refused) -> None:
        """Keep the sentence for the user."""
        self.context.reason = data.reason
        self.context.retryable = False

    def forget_reason(self) -> None:
        """Another try."""
        self.context.reason = ""

    def note_silence(self) -> None:
        """Nobody sends."""
        self.context.reason = f"no bytes arrived for {RECEIVE_SILENCE_S:.0f} seconds; send the file again"

    def note_abandoned(self) -> None:
        """Nobody came back."""
        self.context.reason = "the upload was not resumed within a day; upload the file again"

    def note_verified(self, data: Verified) -> None:
        """The file is evidence of the case."""
        self.context.evidence = data.evidence
        self.context.media_type = data.media_type
        self.context.title = data.title
        self.finish_stage("verifying")

    def note_duplicate(self, data: Recognised) -> None:
        """Point to the evidence that is there."""
        self.context.evidence = data.evidence
        self.context.title = data.title
        self.context.reason = f"the case already holds this file as “{data.title}”"
        self.finish_stage("verifying")
        self.emit(
            Notify(self.context.owner, f"{self.context.filename} is already there", self.context.reason,
                   "info", self.topic, self.context.evidence)
        )  # fmt: skip

    def note_unsupported(self, data: Unsupported) -> None:
        """Say what is wrong with it."""
        self.context.reason = data.reason
        self.context.media_type = data.media_type
        self.context.retryable = False
        work = self.context.work["verifying"]
        work.status, work.reason, work.ended = "broken", data.reason, self.at

    def note_extracted(self, data: Extracted) -> None:
        """The text is stored."""
        self.context.pages = data.pages
        self.context.characters = data.characters
        self.context.chunks = data.chunks
        self.context.children = data.children
        self.context.title = data.title or self.context.title
        self.context.secret = ""
        self.context.reason = "" if data.chunks else "the file holds no text"
        self.finish_stage("extracting", data.pages, "pages")

    def note_locked(self, data: NeedsPassword) -> None:
        """Ask for a password."""
        work = self.context.work["extracting"]
        work.status, work.reason, work.since = "waiting", data.reason, self.at
        self.context.reason = data.reason
        self.context.secret = ""

    def note_secret(self, data: Unlock) -> None:
        """Where the password waits."""
        self.context.secret = data.secret
        self.context.reason = ""

    def note_embedded(self, data: Embedded, source: State) -> None:
        """Vectors are stored."""
        self.finish(source, done=data.chunks, unit="chunks")

    def note_indexed(self, data: Indexed, source: State) -> None:
        """Words are stored."""
        self.finish(source, done=data.chunks, unit="chunks")

    def note_linked(self, data: Linked, source: State) -> None:
        """Entities are stored."""
        self.context.entities = data.entities
        self.finish(source, done=data.mentions, unit="mentions")

    def note_tagged(self, data: Tagged, source: State) -> None:
        """Tags are stored."""
        self.context.tags = list(data.tags)
        self.finish(source, done=len(data.tags), unit="tags")

    def note_summarised(self, data: Summarised, source: State) -> None:
        """The summary is stored."""
        self.finish(source, done=data.sentences, unit="sentences")

    def finish_stage(self, stage: str, done: int = 0, unit: str = "") -> None:
        """Mark a stage by name as done."""
        work = self.context.work[stage]
        work.status, work.ended, work.done, work.total, work.unit = "done", self.at, done, done, unit

    def has_text(self, data: Extracted) -> bool:
        """Whether there is anything to analyse."""
        return data.chunks > 0

    def vectors_are_well(self) -> bool:
        """Both halves of the region have ended well before."""
        return self.is_done("embedding") and self.is_done("indexing")

    def has_vectors(self) -> bool:
        """Only the indexing is left to do."""
        return self.is_done("embedding")

    def links_are_well(self) -> bool:
        """Linked before."""
        return self.is_done("linking")

    def tags_are_well(self) -> bool:
        """Tagged before."""
        return self.is_done("tagging")

    def summary_is_well(self) -> bool:
        """Summarised before."""
        return self.is_done("summarising")

    def all_well(self) -> bool:
        """No region has broken."""
        return (
            self.vectors_are_well()
            and self.links_are_well()
            and self.tags_are_well()
            and self.summary_is_well()
        )

    def may_analyse_again(self) -> bool:
        """The text is there; an analysis broke."""
        return self.context.retryable and self.is_done("extracting")

    def may_verify_again(self) -> bool:
        """The bytes are there, the text is not."""
        return self.context.retryable and bool(self.context.sha256)

    def tell_ready(self) -> None:
        """Toast the owner; what was attached reports through its parent."""
        c = self.context
        if c.parent:
            return
        body = f"{_count(c.chunks, 'passage', 'passages')}, {_count(c.entities, 'entity', 'entities')}"
        body = body if c.chunks else "no text was found in it"
        self.emit(Notify(c.owner, f"{c.filename} is ready", body, "info", self.topic, c.evidence))

    def tell_failed(self) -> None:
        """Toast the owner with the reason."""
        c = self.context
        broken = [stage for stage, work in c.work.items() if work.status == "broken"]
        c.retryable = bool(c.sha256) and bool(broken) and not self._was_refused()
        self.emit(Notify(c.owner, f"{c.filename} failed", c.reason, "warning", self.topic, c.evidence))

    def _was_refused(self) -> bool:
        verifying = self.context.work.get("verifying")
        return verifying is not None and verifying.status == "broken" and bool(self.context.media_type)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
