"""What happens to an upload and what it asks for: its events and its effects."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from machines.effect import Effect
from machines.event import BIGGEST, Event, Result


class UploadSpawned(Event, name="spawn", source="client", role="editor"):
    """A file is about to be sent. `parent` is the evidence it was found in, 0 for none."""

    filename: str = Field(min_length=1, max_length=1024)
    bytes: int = Field(default=0, ge=0, le=BIGGEST)
    parent: int = Field(default=0, ge=0, le=BIGGEST)


class Receiving(Event, name="receiving_on", source="handler"):
    """Bytes are still coming in."""

    received: int


class Received(Event, name="received", source="handler"):
    """All bytes are in the blob store under their SHA-256."""

    sha256: str
    bytes: int


class Gathered(Event, name="gathered", source="handler"):
    """All bytes are there under a passing name, `parts`, and not yet in the blob store."""

    parts: str = Field(min_length=1, max_length=4096)
    bytes: int


class Interrupted(Event, name="interrupted", source="handler"):
    """The sender's connection ended before the last byte; `received` bytes are kept."""

    reason: str
    received: int = 0


class Resumed(Event, name="resumed", source="handler"):
    """The sender sends again, after the first `received` bytes."""

    received: int = 0


class Silent(Event, name="silent", source="timer"):
    """Nothing has arrived for too long."""


class Refused(Event, name="refused", source="handler"):
    """The bytes cannot be accepted: too large, empty."""

    reason: str


class Assembled(Result, name="assembled"):
    """What was gathered is in the blob store under its SHA-256."""

    sha256: str
    bytes: int


class Mismatched(Result, name="mismatched"):
    """What was gathered is not the file that was announced; it is of no use."""

    reason: str


class Verified(Result, name="verified"):
    """New to the case, and of a supported kind."""

    evidence: int
    media_type: str
    title: str


class Recognised(Result, name="recognised"):
    """The case holds the same bytes already, as `evidence`."""

    evidence: int
    title: str


class Unsupported(Result, name="unsupported"):
    """The content is of a kind that cannot be read."""

    reason: str
    media_type: str


class Extracted(Result, name="extracted"):
    """Text and chunks are stored; `children` uploads were spawned for what was attached."""

    pages: int
    characters: int
    chunks: int
    children: int = 0
    title: str = ""
    ocr_pages: int = 0
    notice: str = ""
    """What the user should know of the reading, such as pages that could not be read."""


class NeedsPassword(Result, name="needs_password"):
    """The file is encrypted and the password at hand, if any, does not open it."""

    reason: str


class Unlock(Event, name="unlock", source="client", role="editor"):
    """Try the password stored under `secret`; passwords never enter a log."""

    secret: str = Field(min_length=8, max_length=128)


class Embedded(Result, name="embedded"):
    """Every chunk has its vector."""

    chunks: int


class Indexed(Result, name="indexed"):
    """Every chunk can be found by its words, and knows the chunks most like it."""

    chunks: int


class Linked(Result, name="linked"):
    """Entities, their mentions and what is said of them are stored."""

    entities: int
    mentions: int
    relations: int = 0
    invented: int = 0
    """What a language model claimed to have read and the text does not hold; none of it is stored."""
    notice: str = ""
    """What a language model could not read."""


class Tagged(Result, name="tagged"):
    """Tags are stored."""

    tags: list[str]


class Summarised(Result, name="summarised"):
    """The summary, in sentences of the source."""

    sentences: int


class Retry(Event, name="retry", source="client", role="editor"):
    """Do again what broke, and only that; a file that never came whole is expected anew."""


class Cancel(Event, name="cancel", source="client", role="editor"):
    """Stop, and forget what was begun."""


class Remove(Event, name="remove", source="client", role="editor"):
    """Delete the evidence: hidden at once, gone after a time of grace."""

    reason: str = Field(default="", max_length=500)


class Restore(Event, name="restore", source="client", role="editor"):
    """Within the time of grace: keep it after all."""


class Erase(Event, name="erase", source="client", role="owner"):
    """End the time of grace now."""


class GraceOver(Event, name="grace_over", source="timer"):
    """Nobody wanted it back."""


class Swept(Event, name="swept", source="handler"):
    """What it belongs to, its case or the evidence it was found in, is being deleted."""


class Forgotten(Result, name="forgotten"):
    """Nothing of the evidence is left in any store but the record of its custody."""


@dataclass(frozen=True)
class AssembleUpload(Effect, queue="cpu", deadline_s=86_400):
    """Put the gathered bytes in their order, hash them, store them. Answered by assembled or mismatched."""

    parts: str
    bytes: int


@dataclass(frozen=True)
class VerifyUpload(Effect, queue="cpu", deadline_s=3600):
    """Look at the content: kind, duplicate, acceptable. Answered by verified, recognised, unsupported."""

    topic: str
    filename: str
    sha256: str
    bytes: int
    parent: int
    actor: str


@dataclass(frozen=True)
class ExtractText(Effect, queue="cpu", deadline_s=90_000, memory_mb=512):
    """Read text with positions and split it. Answered by extracted or needs_password."""

    evidence: int
    secret: str
    actor: str


@dataclass(frozen=True)
class EmbedChunks(Effect, queue="gpu", deadline_s=3600):
    """Compute every chunk's vector. Answered by embedded."""

    evidence: int


@dataclass(frozen=True)
class IndexChunks(Effect, queue="cpu", deadline_s=3600):
    """Store words and nearest neighbours. Answered by indexed."""

    evidence: int


@dataclass(frozen=True)
class LinkEntities(Effect, queue="cpu", deadline_s=3600):
    """Find entities. Answered by linked."""

    evidence: int


@dataclass(frozen=True)
class TagEvidence(Effect, queue="cpu", deadline_s=300):
    """Choose tags. Answered by tagged."""

    evidence: int


@dataclass(frozen=True)
class SummariseEvidence(Effect, queue="cpu", deadline_s=300):
    """Pick the most central sentences. Answered by summarised."""

    evidence: int


@dataclass(frozen=True)
class HideEvidence(Effect, queue="inline"):
    """Take evidence and what was found in it out of every search, or bring it back. Nobody awaits it."""

    evidence: int
    hidden: bool


@dataclass(frozen=True)
class ForgetEvidence(Effect, queue="cpu", deadline_s=900):
    """Delete what an upload has brought, in every store. Answered by forgotten."""

    topic: str
    evidence: int
    upload: str
    actor: str
    reason: str


@dataclass(frozen=True)
class DropParts(Effect, queue="inline"):
    """Forget what has been received of an upload that will not go on. Nobody awaits it."""

    upload: str
    parts: str
