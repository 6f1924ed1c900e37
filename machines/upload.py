"""One file on its way from the sender's disk to searchable evidence."""

from __future__ import annotations

from typing import ClassVar

from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.upload_actions import UploadActions
from machines.upload_context import UploadContext
from machines.upload_events import (
    Assembled,
    AssembleUpload,
    Cancel,
    EmbedChunks,
    Embedded,
    Erase,
    Extracted,
    ExtractText,
    ForgetEvidence,
    Forgotten,
    Gathered,
    GraceOver,
    IndexChunks,
    Indexed,
    Interrupted,
    Linked,
    LinkEntities,
    Mismatched,
    NeedsPassword,
    Received,
    Receiving,
    Recognised,
    Refused,
    Remove,
    Restore,
    Resumed,
    Retry,
    Silent,
    Summarised,
    SummariseEvidence,
    Swept,
    TagEvidence,
    Tagged,
    Unlock,
    Unsupported,
    UploadSpawned,
    Verified,
    VerifyUpload,
)
from machines.work import WORK_EVENTS, broken_to, overrun_to


class UploadChart(UploadActions):
    """Receive, verify, extract, then four analyses side by side; each may break on its own."""

    validate_trap_states = False
    """Off: `ready` is where evidence rests."""

    kind: ClassVar[str] = "upload"
    version: ClassVar[int] = 3
    context_type = UploadContext
    spawn_event = UploadSpawned
    spawn_topics = ("case", "import")
    event_types = (
        Receiving, Received, Gathered, Interrupted, Resumed, Silent, Refused, Assembled, Mismatched, Verified,
        Recognised, Unsupported, Extracted, NeedsPassword, Unlock, Embedded, Indexed, Linked, Tagged,
        Summarised, Retry, Cancel, Remove, Restore, Erase, GraceOver, Swept, Forgotten, *WORK_EVENTS,
    )  # fmt: skip

    context: UploadContext

    receiving = State(initial=True, enter="expect_bytes")
    paused = State(enter="wait_for_sender")
    assembling = State(enter="request")
    verifying = State(enter="request")
    duplicate = State(final=True)
    extracting = State(enter="request")
    locked = State(enter="wait_for_password")

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
    leaving = State(enter="begin_grace")
    forgetting = State(enter="request")
    stranded = State()
    cancelled = State(final=True)
    deleted = State(final=True)

    receiving_on = on_each(receiving, on="note_receiving")
    received = receiving.to(verifying, on="note_received")
    gathered = receiving.to(assembling, on="note_gathered")
    assembled = assembling.to(verifying, on="note_assembled")
    mismatched = assembling.to(failed, on="note_mismatch")
    interrupted = receiving.to(paused, on="note_interrupted")
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
    retry = (
        failed.to(analysing, cond="may_analyse_again", on="forget_reason")
        | failed.to(verifying, cond="may_verify_again", on="forget_reason")
        | failed.to(assembling, cond="may_assemble_again", on="forget_reason")
        | failed.to(receiving, cond="may_send_again", on="forget_reason")
        | stranded.to(forgetting)
    )
    cancel = (
        from_each(receiving, paused, assembling, to=cancelled, on="drop_parts")
        | from_each(verifying, extracting, locked, analysing, to=forgetting, on="note_remover")
        | failed.to(forgetting, cond="was_stored", on="note_remover")
        | failed.to(cancelled, on="drop_parts")
    )
    remove = from_each(ready, locked, to=leaving, on="note_rest") | failed.to(
        leaving, cond="is_evidence", on="note_rest"
    )
    restore = (
        leaving.to(ready, cond="rested_ready", on="bring_back")
        | leaving.to(locked, cond="rested_locked", on="bring_back")
        | leaving.to(failed, on="bring_back")
    )
    erase = leaving.to(forgetting, on="note_remover")
    grace_over = leaving.to(forgetting)
    swept = (
        from_each(receiving, paused, assembling, to=cancelled, on="drop_parts")
        | from_each(verifying, extracting, locked, analysing, ready, failed, leaving, stranded,
                    to=forgetting, on="note_swept")
    )  # fmt: skip
    forgotten = forgetting.to(deleted, cond="was_removed", on="note_forgotten") | forgetting.to(
        cancelled, on="note_forgotten"
    )

    _stages: ClassVar[dict[State, State]] = {
        assembling: failed,
        verifying: failed,
        extracting: failed,
        analysing.vectors.embedding: analysing.vectors.vectors_broken,
        analysing.vectors.indexing: analysing.vectors.vectors_broken,
        analysing.links.linking: analysing.links.links_broken,
        analysing.tags.tagging: analysing.tags.tags_broken,
        analysing.summary.summarising: analysing.summary.summary_broken,
        forgetting: stranded,
    }
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of a stage."""
        c = self.context
        match stage:
            case "assembling":
                return AssembleUpload(c.parts, c.bytes)
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
            case "forgetting":
                return ForgetEvidence(self.topic, c.evidence, self.machine, c.removed_by, c.why)
        raise KeyError(stage)
