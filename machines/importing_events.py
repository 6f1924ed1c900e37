"""What happens to a folder's import and what it asks for: its counts, its events and its effects."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from machines.effect import Effect
from machines.event import BIGGEST, Event


class Tally(BaseModel):
    """How many of an import's files are in which state; every file is in exactly one.

    Attributes:
        waiting: Listed, and to be sent yet.
        sending: Some of its bytes are here.
        queued: All its bytes are here; no work on it has begun.
        working: Work on it has begun and not ended.
        ready: Evidence.
        duplicate: The case held the same bytes already.
        locked: Waits for a password.
        failed: Ended badly, for the reason in the list of files.
        cancelled: Ended by somebody.
        removed: Was evidence, and has been removed again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    waiting: int = Field(default=0, ge=0)
    sending: int = Field(default=0, ge=0)
    queued: int = Field(default=0, ge=0)
    working: int = Field(default=0, ge=0)
    ready: int = Field(default=0, ge=0)
    duplicate: int = Field(default=0, ge=0)
    locked: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    cancelled: int = Field(default=0, ge=0)
    removed: int = Field(default=0, ge=0)

    @property
    def unsent(self) -> int:
        """Files of which bytes are still to come."""
        return self.waiting + self.sending

    @property
    def live(self) -> int:
        """Files that have not come to rest."""
        return self.unsent + self.queued + self.working

    @property
    def files(self) -> int:
        """All of them."""
        return sum(self.model_dump().values())


class TimeLeft(BaseModel):
    """Seconds that something will take yet: at least `low`, probably `likely`, at most `high`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: float
    likely: float
    high: float


class Pace(BaseModel):
    """How fast an import goes, as of its last count; None while too little has been seen to tell.

    Attributes:
        bytes_s: Bytes received in a second.
        files_s: Files that came to rest in a second.
        transfer: Until all is here.
        work: Until all that is listed has come to rest, transfer included.
        ahead: Jobs of others that wait in the queues before the files of this import.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes_s: float | None = None
    files_s: float | None = None
    transfer: TimeLeft | None = None
    work: TimeLeft | None = None
    ahead: int = 0


class ImportSpawned(Event, name="spawn", source="handler"):
    """A folder is about to be listed; `title` is what it is called."""

    title: str = Field(min_length=1, max_length=300)


class Listed(Event, name="listed", source="handler"):
    """The folder's list is complete."""


class Counted(Event, name="counted", source="handler"):
    """The files were counted; of two counts the one of the higher `version` is the later.

    Attributes:
        bytes: Of all files.
        bytes_here: Of those that have arrived or needed not be sent.
        bytes_done: Of those that have come to rest.
        found: How many of the files were not listed but found inside others.
        last_arrival: Unix seconds when a file arrived last; 0 before the first.
    """

    version: int = Field(ge=0, le=BIGGEST)
    tally: Tally
    bytes: int = Field(default=0, ge=0, le=BIGGEST)
    bytes_here: int = Field(default=0, ge=0, le=BIGGEST)
    bytes_done: int = Field(default=0, ge=0, le=BIGGEST)
    pages: int = Field(default=0, ge=0, le=BIGGEST)
    found: int = Field(default=0, ge=0, le=BIGGEST)
    last_arrival: float = 0.0
    pace: Pace = Pace()


class Pause(Event, name="pause", source="client", role="editor"):
    """Take no more files, begin no more work; what has begun goes on."""


class Resume(Event, name="resume", source="client", role="editor"):
    """Go on where it was paused."""


class CancelImport(Event, name="cancel", source="client", role="editor"):
    """End what has not come to rest; what is evidence already stays."""


class RetryFailed(Event, name="retry_failed", source="client", role="editor"):
    """Try the failed files again, and no others: the one of number `file`, or all where it is 0."""

    file: int = Field(default=0, ge=0, le=BIGGEST)


class ImportSwept(Event, name="swept", source="handler"):
    """Its case is being deleted."""


@dataclass(frozen=True)
class RetryFiles(Effect, queue="inline"):
    """Mark failed files to be tried again. Nobody awaits it: the counts will tell."""

    imported: str
    file: int
    actor: str
