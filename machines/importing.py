"""A folder on its way into a case: listed, sent, worked on, counted all the while."""

from __future__ import annotations

from typing import ClassVar

from statemachine import State

from machines.chart import Chart, Context, from_each, on_each
from machines.event import Event
from machines.importing_events import (
    CancelImport,
    Counted,
    ImportSpawned,
    ImportSwept,
    Listed,
    Pace,
    Pause,
    Resume,
    RetryFailed,
    RetryFiles,
    Tally,
)
from machines.notification import Notify
from machines.topics import case_of, import_topic


class ImportContext(Context):
    """What every page of the case shows of it; the files are listed elsewhere, by page.

    Attributes:
        files_topic: Topic of its uploads.
        listed: Whether the folder's list is complete.
        version: Of the count that stands here.
        paused_s: Seconds that it has been paused for, until the last resumption.
        outcome: How it ended, in a sentence.
    """

    title: str = ""
    owner: str = ""
    files_topic: str = ""
    listed: bool = False
    version: int = 0
    tally: Tally = Tally()
    bytes: int = 0
    bytes_here: int = 0
    bytes_done: int = 0
    pages: int = 0
    found: int = 0
    last_arrival: float = 0.0
    pace: Pace = Pace()
    began: float = 0.0
    paused_at: float = 0.0
    paused_s: float = 0.0
    ended: float = 0.0
    outcome: str = ""
    canceller: str = ""


class ImportChart(Chart):
    """Only counts move it from transferring on, so it can never say more than is the case."""

    validate_trap_states = False
    """Off: `done` is where it rests."""

    kind: ClassVar[str] = "import"
    context_type = ImportContext
    spawn_event = ImportSpawned
    spawn_topics = ("case",)
    event_types = (Listed, Counted, Pause, Resume, CancelImport, RetryFailed, ImportSwept)

    context: ImportContext

    manifest = State(initial=True, enter="note_folder")
    transferring = State()
    processing = State()
    paused = State(enter="note_pause")
    done = State(enter="tell_end")
    done_with_failures = State(enter="tell_end")
    cancelling = State()
    cancelled = State(final=True, enter="note_cancelled")

    listed = manifest.to(transferring, on="note_listed") | on_each(
        transferring, processing, paused, done, done_with_failures, on="note_listed"
    )
    counted = (
        on_each(
            manifest, transferring, processing, paused, done, done_with_failures, cancelling, cond="is_older"
        )
        | on_each(manifest, paused, on="note_count")
        | from_each(transferring, processing, to=done, cond="all_well", on="note_count")
        | from_each(transferring, processing, to=done_with_failures, cond="all_ended", on="note_count")
        | transferring.to(processing, cond="all_sent", on="note_count")
        | processing.to(transferring, cond="some_unsent", on="note_count")
        | done.to(done_with_failures, cond="ended_badly", on="note_count")
        | done_with_failures.to(done, cond="all_well", on="note_count")
        | from_each(done, done_with_failures, to=transferring, cond="some_unsent", on="note_count")
        | from_each(done, done_with_failures, to=processing, cond="some_live", on="note_count")
        | cancelling.to(cancelled, cond="all_ended", on="note_count")
        | on_each(transferring, processing, done, done_with_failures, cancelling, on="note_count")
    )
    pause = from_each(manifest, transferring, processing, to=paused)
    resume = (
        paused.to(manifest, cond="is_unlisted", on="note_resumed")
        | paused.to(transferring, cond="was_unsent", on="note_resumed")
        | paused.to(processing, on="note_resumed")
    )
    cancel = from_each(manifest, transferring, processing, paused, to=cancelling, on="note_canceller")
    retry_failed = on_each(transferring, processing, paused, done, done_with_failures, on="ask_again")
    swept = from_each(manifest, transferring, processing, paused, done, done_with_failures, cancelling,
                      to=cancelled)  # fmt: skip

    def note_folder(self, data: Event) -> None:
        """What it is called, whose it is, where its files live."""
        if isinstance(data, ImportSpawned):
            c = self.context
            c.title, c.owner, c.began = data.title, self.actor, self.at
            c.files_topic = import_topic(case_of(self.topic), self.machine.rpartition("-")[2])

    def note_listed(self) -> None:
        """Nothing more will be listed, unless the folder is gone through again."""
        self.context.listed = True

    def is_older(self, data: Counted) -> bool:
        """Another server counted later; what it counted stands."""
        return data.version < self.context.version

    def note_count(self, data: Counted) -> None:
        """The counts as they stand."""
        c = self.context
        c.version, c.tally, c.pace = data.version, data.tally, data.pace
        c.bytes, c.bytes_here, c.bytes_done = data.bytes, data.bytes_here, data.bytes_done
        c.pages, c.found, c.last_arrival = data.pages, data.found, data.last_arrival

    def all_ended(self, data: Counted) -> bool:
        """No file is on its way."""
        return data.tally.live == 0

    def all_well(self, data: Counted) -> bool:
        """No file is on its way, and none has failed."""
        return data.tally.live == 0 and data.tally.failed == 0

    def ended_badly(self, data: Counted) -> bool:
        """No file is on its way, and some have failed."""
        return data.tally.live == 0 and data.tally.failed > 0

    def all_sent(self, data: Counted) -> bool:
        """All bytes are here."""
        return data.tally.unsent == 0

    def some_unsent(self, data: Counted) -> bool:
        """Bytes are still to come."""
        return data.tally.unsent > 0

    def some_live(self, data: Counted) -> bool:
        """Something moves again."""
        return data.tally.live > 0

    def is_unlisted(self) -> bool:
        """It was paused while the folder was being listed."""
        return not self.context.listed

    def was_unsent(self) -> bool:
        """Bytes were still to come when it was counted last."""
        return self.context.tally.unsent > 0

    def note_pause(self) -> None:
        """Since when."""
        self.context.paused_at = self.at

    def note_resumed(self) -> None:
        """For how long it stood."""
        self.context.paused_s += self.at - self.context.paused_at
        self.context.paused_at = 0.0

    def note_canceller(self) -> None:
        """Who ends its uploads."""
        self.context.canceller = self.actor

    def ask_again(self, data: RetryFailed) -> None:
        """Only what failed."""
        self.emit(RetryFiles(self.machine, data.file, self.actor))

    def note_cancelled(self) -> None:
        """What is left of it."""
        c = self.context
        c.ended, c.outcome = self.at, f"cancelled; {_many(c.tally.ready, 'file is', 'files are')} evidence"

    def tell_end(self) -> None:
        """Say how it ended, and toast the owner."""
        c = self.context
        c.ended, c.outcome, c.pace = self.at, _outcome(c.tally), Pace()
        level = "warning" if c.tally.failed else "info"
        self.emit(Notify(c.owner, f"The folder {c.title} is in", c.outcome, level, self.topic, 0))


def _outcome(tally: Tally) -> str:
    said = [_many(tally.ready, "file is ready", "files are ready")]
    if tally.duplicate:
        said.append(f"{tally.duplicate} {'was' if tally.duplicate == 1 else 'were'} there already")
    if tally.locked:
        said.append(_many(tally.locked, "asks for a password", "ask for a password"))
    if tally.failed:
        said.append(f"{tally.failed} failed")
    if tally.cancelled:
        said.append(f"{tally.cancelled} {'was' if tally.cancelled == 1 else 'were'} cancelled")
    return ", ".join(said)


def _many(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
