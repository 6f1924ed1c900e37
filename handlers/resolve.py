"""What a follow-up means by what was said before it, so that everything behind searches for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from handlers.awaited import while_awaited
from handlers.conversation import ReadTopic, conversation_of
from handlers.follow_up import is_about_one, needs_resolving, understand
from handlers.job import Job, Permanent, Temporary
from handlers.known_names import KNOWN, NameIndex, form_of
from handlers.models import Models
from handlers.pronouns import Spoken, spoken_of_as
from handlers.rewriting import NotKept, rewrite
from handlers.said import Finder, Said
from handlers.terms import fold
from machines.query import Resolved, ResolveQuestion
from storage.graph import Graph

TURNS = 4
"""Earlier turns, the latest, that a follow-up may lean on."""

PEOPLE = 12
"""People named in them, the latest, of whom the case is asked how it speaks of them."""

PASSAGES = 20
"""Passages that are read for each."""


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
    spoken = await _spoken(effect.case, said, finder, known, graph) if is_about_one(effect.question) else {}
    understood = await asyncio.to_thread(understand, effect.question, said, finder, spoken)
    if understood is not None and note:
        understood = understood.model_copy(update={"note": "; ".join(filter(None, (note, understood.note)))})
    return Resolved(effect=job.id, understood=understood)


async def _spoken(
    case: str, said: Sequence[Said], finder: Finder, known: NameIndex, graph: Graph
) -> dict[str, Spoken]:
    """How the case speaks of the people who were named, where it tells; by folded name."""
    told = [text for turn in said for text in (turn.question, *(claim.text for claim in turn.claims))]
    named = [one.text for text in told for one in finder.mentions(text) if one.topic == "person"]
    people = list(dict.fromkeys(reversed(named)))[:PEOPLE]
    entities = {
        name: sorted({e for one in known.by_form.get(form_of(name), ()) for e in one.entities})
        for name in people
    }
    every = sorted({entity for found in entities.values() for entity in found})
    places = await graph.mentions(case, every, limit=PASSAGES) if every else []
    passages = await graph.passages(case, sorted({chunk for chunk, _, _ in places}))

    def tell() -> dict[str, Spoken]:
        found: dict[str, Spoken] = {}
        for name, own in entities.items():
            chunks = dict.fromkeys(chunk for chunk, entity, _ in places if entity in own)
            texts = [*told, *(passages[chunk].text for chunk in chunks if chunk in passages)]
            if (how := spoken_of_as(name, texts, finder)) is not None:
                found[fold(name)] = how
        return found

    return await asyncio.to_thread(tell)
