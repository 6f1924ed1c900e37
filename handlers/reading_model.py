"""A language model reads passage by passage; what it cannot read costs that passage only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from handlers.awaited import while_awaited
from handlers.extraction import SYSTEM, Reading, reading_key, reading_of, reading_schema, request_for
from handlers.job import Job, JobError, Permanent, Temporary
from handlers.language_model import LanguageModel, Unfinished
from storage.evidence import ChunkRow
from storage.extractions import Extractions

THREAD = "extraction"
MOST_TOKENS = 1024
"""Of one answer."""
READ_S = 2400.0
"""How long one piece of evidence may be read; the work as a whole has an hour."""
GIVE_UP = 3
"""Passages in a row that the server does not answer, after which it is asked no more this time."""


@dataclass
class Read:
    """What was read, by chunk.

    Attributes:
        unread: Passages that were not read, and `reason` why the last of them was not.
    """

    readings: dict[int, Reading] = field(default_factory=dict)
    unread: int = 0
    reason: str = ""

    def notice(self, model: str, passages: int) -> str:
        """A sentence for the user; "" where everything was read."""
        if not self.unread:
            return ""
        return (
            f"The language model {model} did not read {self.unread} of {passages} passages ({self.reason}); "
            "what the rules find in them is there."
        )


async def read_passages(
    case: str,
    evidence: int,
    chunks: Sequence[ChunkRow],
    job: Job,
    *,
    model: LanguageModel,
    extractions: Extractions,
    within_s: float = READ_S,
) -> Read:
    """Have the model read the chunks, those first that nobody has read before.

    Raises:
        Cancelled: Nobody awaits it any more; what was read is kept.
    """
    keys = {chunk.id: reading_key(model.name, chunk.text) for chunk in chunks}
    known = dict(await extractions.get(case, evidence, list(keys.values())))
    read, silent, until = Read(), 0, time.monotonic() + within_s
    for done, chunk in enumerate(chunks):
        await job.progress(done, len(chunks), "passages")
        if (kept := known.get(keys[chunk.id])) is not None:
            read.readings[chunk.id] = reading_of(kept)
            continue
        if silent >= GIVE_UP or time.monotonic() > until:
            read.unread += 1
            read.reason = read.reason if silent >= GIVE_UP else "the time for one file was over"
            continue
        try:
            reading = await while_awaited(job, read_passage(chunk.text, model))
        except Unreadable as error:
            read.unread, read.reason, silent = read.unread + 1, str(error), 0
        except (Temporary, Permanent) as error:
            read.unread, read.reason, silent = read.unread + 1, error.reason, silent + 1
        else:
            silent = 0
            read.readings[chunk.id] = reading
            known[keys[chunk.id]] = reading.model_dump()
            await extractions.put(case, evidence, keys[chunk.id], known[keys[chunk.id]])
    return read


class Unreadable(JobError):
    """The model answered twice, and neither answer keeps to the schema."""


async def read_passage(passage: str, model: LanguageModel) -> Reading:
    """What the model reads in one passage; an answer that is no reading is sent back once.

    Raises:
        Temporary, Permanent: The server does not answer, or refuses.
        JobError: Neither answer is a reading.
    """
    refused = ""
    for _ in range(2):
        try:
            written = await model.complete(
                SYSTEM,
                request_for(passage, refused),
                schema=reading_schema(),
                most_tokens=MOST_TOKENS,
                thread=THREAD,
            )
            return reading_of(written)
        except Unfinished:
            refused = "it said the same again and again"
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            refused = f"{where}: {first['msg']}" if where else str(first["msg"])
    raise Unreadable(f"it did not answer in the form it was asked for: {refused[:200]}")
