"""What a follow-up means by what was said before it, so that everything behind searches for that."""

from __future__ import annotations

import asyncio

from handlers.awaited import while_awaited
from handlers.conversation import ReadTopic, conversation_of
from handlers.follow_up import needs_resolving, understand
from handlers.job import Job, Permanent, Temporary
from handlers.known_names import KNOWN
from handlers.models import Models
from handlers.rewriting import NotKept, rewrite
from handlers.said import Finder
from machines.query import Resolved, ResolveQuestion
from storage.graph import Graph

TURNS = 4
"""Earlier turns, the latest, that a follow-up may lean on."""


async def resolve_question(
    effect: ResolveQuestion, job: Job, *, graph: Graph, models: Models, read_topic: ReadTopic
) -> Resolved:
    """Ask the model where there is one; else, and where its wording cannot be kept, go by rule.

    Raises:
        Cancelled: Nobody awaits the question any more.
    """
    if not needs_resolving(effect.question):
        return Resolved(effect=job.id)
    talk = await conversation_of(effect.case, effect.query, effect.conversation, read_topic=read_topic)
    said = talk.said[-TURNS:]
    await job.check()
    note = ""
    model = (await models.of_case(effect.case)).model
    if model is not None and said:
        try:
            understood = await while_awaited(job, rewrite(effect.question, said, model=model))
            return Resolved(effect=job.id, understood=understood)
        except NotKept as error:
            note = str(error)
        except (Temporary, Permanent) as error:
            note = error.reason
        await job.check()
    known = await KNOWN.of(effect.case, graph)
    finder = await asyncio.to_thread(Finder, known.names)
    understood = await asyncio.to_thread(understand, effect.question, said, finder)
    if understood is not None and note:
        understood = understood.model_copy(update={"note": note})
    return Resolved(effect=job.id, understood=understood)
