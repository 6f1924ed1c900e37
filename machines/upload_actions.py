"""What an upload does on its way, and what it asks itself before: the actions and guards of its chart."""

from __future__ import annotations

from statemachine import State

from machines.event import Event
from machines.notification import Notify
from machines.upload_context import UploadContext
from machines.upload_events import (
    Assembled,
    DropParts,
    Embedded,
    Extracted,
    Gathered,
    HideEvidence,
    Indexed,
    Interrupted,
    Linked,
    Mismatched,
    NeedsPassword,
    Received,
    Receiving,
    Recognised,
    Refused,
    Remove,
    Resumed,
    Summarised,
    Tagged,
    Unlock,
    Unsupported,
    UploadSpawned,
    Verified,
)
from machines.work import WorkChart

RECEIVE_SILENCE_S = 300.0
PAUSE_LIMIT_S = 86_400.0
GRACE_S = 7 * 86_400.0
"""How long removed evidence can be brought back."""

_RESTORED = "restored"


class UploadActions(WorkChart):
    """Actions and guards, by the names under which `UploadChart` binds them."""

    context: UploadContext

    def expect_bytes(self, data: Event, state: State) -> None:
        """Start to receive: from the beginning, or behind the bytes that are there."""
        if isinstance(data, UploadSpawned):
            self.context.filename = data.filename
            self.context.bytes = data.bytes
            self.context.parent = data.parent
            self.context.owner = self.actor
        self.context.received = data.received if isinstance(data, Resumed) else 0
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

    def note_gathered(self, data: Gathered) -> None:
        """The bytes are there, without an address."""
        self.context.parts = data.parts
        self.context.bytes = self.context.received = data.bytes
        self.context.reason = ""

    def note_assembled(self, data: Assembled) -> None:
        """The content has an address."""
        self.context.sha256, self.context.bytes, self.context.parts = data.sha256, data.bytes, ""
        self.finish_stage("assembling", data.bytes, "bytes")

    def note_mismatch(self, data: Mismatched) -> None:
        """The file has to be sent again."""
        work = self.context.work["assembling"]
        work.status, work.reason, work.ended = "broken", data.reason, self.at
        self.context.reason = data.reason
        self.drop_parts()

    def note_interrupted(self, data: Interrupted) -> None:
        """Keep the sentence for the user, and how far it had come."""
        self.context.reason = data.reason
        self.context.received = max(self.context.received, data.received)

    def note_reason(self, data: Refused) -> None:
        """Keep the sentence for the user."""
        self.context.reason = data.reason
        self.drop_parts()

    def drop_parts(self) -> None:
        """What was received is of no use any more."""
        self.emit(DropParts(self.machine, self.context.parts))
        self.context.parts = ""

    def note_remover(self) -> None:
        """Who ends it."""
        self.context.removed_by = self.actor

    def note_swept(self) -> None:
        """It goes with what it belongs to."""
        self.context.rested = self.context.rested or "swept"
        self.context.removed_by = self.context.removed_by or self.actor

    def note_rest(self, data: Remove, source: State) -> None:
        """Where it was, who removed it and why."""
        self.context.rested, self.context.removed_by, self.context.why = source.id, self.actor, data.reason
        self.emit(HideEvidence(self.context.evidence, True))

    def begin_grace(self, state: State) -> None:
        """Gone in a while, unless somebody wants it back."""
        self.context.grace_until = self.at + GRACE_S
        self.set_timer("grace_over", "grace_over", GRACE_S, state=state)

    def bring_back(self) -> None:
        """As if it had never been removed; whoever tells of the state entered asks `_came_back`."""
        self.context.rested, self.context.removed_by, self.context.grace_until = _RESTORED, "", 0.0
        self.context.why = ""
        self.emit(HideEvidence(self.context.evidence, False))

    def note_forgotten(self) -> None:
        """Nothing is left, nor what was read in it; name and hash are known to custody, too."""
        self.finish_stage("forgetting")
        c = self.context
        c.title = c.reason = c.notice = c.secret = ""
        c.tags = []

    def forget_reason(self) -> None:
        """Another try."""
        self.context.reason = ""

    def note_silence(self) -> None:
        """Nobody sends."""
        self.context.reason = f"no bytes arrived for {RECEIVE_SILENCE_S:.0f} seconds; send the file again"

    def note_abandoned(self) -> None:
        """Nobody came back."""
        self.drop_parts()
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
        if self.topic.startswith("import:"):
            return
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
        self.context.ocr_pages, self.context.notice = data.ocr_pages, data.notice
        self.context.reason = "" if data.chunks else "the file holds no text"
        self.finish_stage("extracting", data.pages, "pages")

    def note_locked(self, data: NeedsPassword) -> None:
        """Ask for a password."""
        work = self.context.work["extracting"]
        work.status, work.reason, work.since = "waiting", data.reason, self.at
        self.context.reason = data.reason
        self.context.secret = ""

    def wait_for_password(self) -> None:
        """Nothing to be told of one that was brought back."""
        self._came_back()

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
        self.context.entities, self.context.unread = data.entities, data.notice
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

    def may_assemble_again(self) -> bool:
        """The bytes are there, without an address."""
        return bool(self.context.parts) and not self.context.sha256

    def may_send_again(self) -> bool:
        """The bytes never came whole."""
        return not self.context.sha256 and not self.context.parts and not self.context.parent

    def was_stored(self) -> bool:
        """The bytes have an address, so there may be evidence."""
        return bool(self.context.sha256)

    def is_evidence(self) -> bool:
        """There is evidence to delete."""
        return self.context.evidence > 0

    def was_removed(self) -> bool:
        """It was removed, not cancelled on its way."""
        return bool(self.context.rested)

    def rested_ready(self) -> bool:
        """It had been ready."""
        return self.context.rested == "ready"

    def rested_locked(self) -> bool:
        """It had been waiting for a password."""
        return self.context.rested == "locked"

    def tell_ready(self) -> None:
        """Toast the owner; what was attached reports through its parent, a folder's file through it."""
        c = self.context
        if self._came_back() or c.parent or self.topic.startswith("import:"):
            return
        body = f"{_count(c.chunks, 'passage', 'passages')}, {_count(c.entities, 'entity', 'entities')}"
        body = body if c.chunks else "no text was found in it"
        self.emit(Notify(c.owner, f"{c.filename} is ready", body, "info", self.topic, c.evidence))

    def tell_failed(self) -> None:
        """Toast the owner with the reason; a folder tells of all its files together."""
        c = self.context
        broken = [stage for stage, work in c.work.items() if work.status == "broken"]
        c.retryable = (not c.sha256 and not c.parent) or (bool(broken) and not self._was_refused())
        if self._came_back() or self.topic.startswith("import:"):
            return
        self.emit(Notify(c.owner, f"{c.filename} failed", c.reason, "warning", self.topic, c.evidence))

    def _came_back(self) -> bool:
        came_back = self.context.rested == _RESTORED
        self.context.rested = "" if came_back else self.context.rested
        return came_back

    def _was_refused(self) -> bool:
        verifying = self.context.work.get("verifying")
        return verifying is not None and verifying.status == "broken" and bool(self.context.media_type)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
